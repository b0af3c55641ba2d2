//! Counts over all sessions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::diagnose::{Outcome, Verdict};
use crate::dissect::others::Counts;

/// Counts over all sessions.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Summary {
    /// Sessions.
    pub sessions: u64,
    /// By kind.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// By outcome.
    pub by_outcome: BTreeMap<&'static str, u64>,
    /// By cause.
    pub by_cause: BTreeMap<&'static str, u64>,
    /// TLS and DTLS sessions that were followed but are not reported (see `--tls`).
    pub tls_not_reported: u64,
    /// VPNs that were seen and named but are not analysed.
    pub other_vpns: OtherVpns,
    /// What budgets gave up.
    pub evicted: Evicted,
}

/// VPNs that were seen and named but are not analysed.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub struct OtherVpns {
    /// WireGuard, by addresses and ports.
    pub wireguard: u64,
    /// OpenVPN over UDP or TCP, by addresses and ports.
    pub openvpn: u64,
    /// SSTP connections, with and without TLS around them.
    pub sstp: u64,
    /// Pairs of hosts that speak PPTP.
    pub pptp: u64,
}

impl OtherVpns {
    /// Adds what a walk saw.
    pub const fn add(&mut self, counts: Counts) {
        self.wireguard += counts.wireguard;
        self.openvpn += counts.openvpn;
        self.sstp += counts.sstp;
        self.pptp += counts.pptp;
    }
}

/// What budgets gave up.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub struct Evicted {
    /// Sessions.
    pub sessions: u64,
    /// Datagrams waiting for fragments.
    pub fragments: u64,
    /// TCP streams and DTLS associations.
    pub streams: u64,
    /// ESP flows that were not counted.
    pub esp_flows: u64,
    /// Look-ups of names.
    pub lookups: u64,
    /// Sessions that are counted above and described nowhere.
    pub descriptions: u64,
    /// IKE SAs that are told as sessions of their own, although they renew another one.
    pub sas: u64,
    /// Certificates of long chains.
    pub certificates: u64,
}

impl Evicted {
    /// Whether nothing was.
    pub fn is_nothing(&self) -> bool {
        let Self {
            sessions,
            fragments,
            streams,
            esp_flows,
            lookups,
            descriptions,
            sas,
            certificates,
        } = *self;
        let waiting = sessions + fragments + streams + esp_flows + lookups;
        waiting + descriptions + sas + certificates == 0
    }
}

impl Summary {
    /// Counts one verdict.
    pub fn count(&mut self, kind: &'static str, verdict: &Verdict) {
        self.count_as(kind, verdict.outcome, verdict.cause, 1);
    }

    /// Counts sessions by what became of them.
    pub fn count_as(
        &mut self,
        kind: &'static str,
        outcome: Outcome,
        cause: Option<&'static str>,
        count: u64,
    ) {
        self.sessions += count;
        *self.by_kind.entry(kind).or_default() += count;
        *self.by_outcome.entry(outcome.word()).or_default() += count;
        if let Some(cause) = cause {
            *self.by_cause.entry(cause).or_default() += count;
        }
    }
}
