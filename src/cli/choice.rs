//! Which sessions a command reports.

use std::net::IpAddr;

use crate::assemble::Hints;
use crate::decap::Flow;
use crate::desk::Filed;
use crate::report::compare::Wanted;
use crate::time::Timestamp;

/// Which sessions to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Only {
    /// Failed and degraded ones
    Failed,
}

/// Which TLS and DTLS sessions to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Tls {
    /// `failed` for files, `vpn` for interfaces
    Auto,
    /// Those known to belong to a VPN
    Vpn,
    /// Those of a VPN and every failed one
    Failed,
    /// All
    All,
}

/// What is done with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is reported.
    Reported,
    /// It is one of TLS that nothing marks as a VPN's: counted, not reported.
    Counted,
    /// Other sessions were asked for.
    NotAsked,
}

/// Which sessions.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// Only sessions of this client
    #[arg(long, value_name = "ADDR")]
    client: Option<IpAddr>,
    /// Only sessions with this gateway
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_gateway)]
    gateway: Option<(IpAddr, Option<u16>)>,
    /// Only the session with this number
    #[arg(long, value_name = "N")]
    session: Option<u32>,
    /// Only frames from this time on (RFC 3339 or seconds since 1970)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only frames up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Only sessions of this outcome
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Which TLS and DTLS sessions
    #[arg(long, value_enum, default_value = "auto")]
    tls: Tls,
}

/// Which frames.
#[derive(Debug, clap::Args)]
pub(super) struct FrameChoice {
    /// Only conversations of this client
    #[arg(long, value_name = "ADDR")]
    client: Option<IpAddr>,
    /// Only conversations with this gateway
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_gateway)]
    gateway: Option<(IpAddr, Option<u16>)>,
    /// Only the frames of the session with this number, as `analyze` counts over these files
    #[arg(long, value_name = "N")]
    pub(super) session: Option<u32>,
    /// Only frames from this time on (RFC 3339 or seconds since 1970)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only frames up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
}

impl FrameChoice {
    pub(super) fn takes_time(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }

    /// Whether a conversation was asked for. What has no ports, as ESP, is at any.
    pub(super) fn takes_flow(&self, flow: &Flow) -> bool {
        let ends = [flow.source, flow.destination];
        let has = |ip: IpAddr| ends.iter().any(|end| end.0 == ip);
        let is_at = |ip: IpAddr, port: Option<u16>| {
            ends.iter()
                .any(|end| end.0 == ip && port.is_none_or(|port| end.1 == port || end.1 == 0))
        };
        self.client.is_none_or(has) && self.gateway.is_none_or(|(ip, port)| is_at(ip, port))
    }

    /// Whether a session was asked for, by its ends and number.
    pub(super) fn names(&self, session: &crate::track::Session) -> bool {
        self.client.is_none_or(|ip| session.client.ip == ip)
            && self.gateway.is_none_or(|(ip, _)| session.gateway.ip == ip)
            && self.session.is_none_or(|id| session.id == id)
    }

    /// Who is who.
    pub(super) const fn hints(&self) -> Hints {
        Hints {
            client: self.client,
            gateway: self.gateway,
        }
    }
}

/// An address, with or without port: `192.0.2.1`, `192.0.2.1:4500`, `[2001:db8::1]:443`.
pub(super) fn parse_gateway(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(ip) = text.parse() {
        return Ok((ip, None));
    }
    text.parse::<std::net::SocketAddr>()
        .map(|at| (at.ip(), Some(at.port())))
        .map_err(|_| "neither an address nor an address with port".to_string())
}

/// RFC 3339 in UTC, or seconds since 1970.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| "neither RFC 3339 (UTC) nor seconds since 1970".to_string())
}

impl Choice {
    #[inline]
    pub(super) fn takes_frame(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }

    /// Whether frames are left out at the end.
    pub(super) const fn ends(&self) -> bool {
        self.until.is_some()
    }

    /// The gateway that the user named.
    pub(super) fn gateway_address(&self) -> Option<IpAddr> {
        self.gateway.map(|(ip, _)| ip)
    }

    /// What a comparison does with a session that several points saw: numbered on its own,
    /// with the addresses that each point saw.
    pub(super) fn of_compared(
        &self,
        number: u32,
        seen: &[&Filed],
        verdict: &crate::diagnose::Verdict,
    ) -> Wanted {
        use crate::diagnose::Outcome;
        let ours = seen.iter().any(|filed| self.is_between(filed));
        if !ours || self.session.is_some_and(|id| id != number) {
            return Wanted::No;
        }
        let trouble = matches!(verdict.outcome, Outcome::Failed | Outcome::Degraded);
        let of_vpn = seen.iter().any(|filed| filed.of_vpn);
        if !self.takes_tls(of_vpn, trouble) {
            return Wanted::Counted;
        }
        if self.only.is_none_or(|Only::Failed| trouble) {
            Wanted::Yes
        } else {
            Wanted::No
        }
    }

    /// What `auto` means where an interface is captured from.
    #[cfg(feature = "live")]
    pub(super) fn for_interfaces(&mut self) {
        if self.tls == Tls::Auto {
            self.tls = Tls::Vpn;
        }
    }

    /// Whether sessions of TLS of which there is nothing to be said are counted, all alike.
    pub(super) fn is_plain(&self) -> bool {
        let names_some = self.client.is_some() || self.gateway.is_some() || self.session.is_some();
        !names_some && self.tls != Tls::All
    }

    /// Whether sessions are reported of which nothing says that they failed.
    pub(super) const fn takes_quiet(&self) -> bool {
        self.only.is_none()
    }

    /// Who is who.
    pub(super) const fn hints(&self) -> Hints {
        Hints {
            client: self.client,
            gateway: self.gateway,
        }
    }

    /// What is done with a session.
    pub(super) fn of(&self, filed: &Filed) -> Fate {
        if !self.names(filed) {
            return Fate::NotAsked;
        }
        if !self.takes_tls(filed.of_vpn, filed.is_trouble()) {
            return Fate::Counted;
        }
        if self.only.is_none_or(|Only::Failed| filed.is_trouble()) {
            Fate::Reported
        } else {
            Fate::NotAsked
        }
    }

    const fn takes_tls(&self, of_vpn: bool, trouble: bool) -> bool {
        match self.tls {
            Tls::All => true,
            Tls::Failed | Tls::Auto => of_vpn || trouble,
            Tls::Vpn => of_vpn,
        }
    }

    /// Whether the user's addresses and number are a session's.
    fn names(&self, filed: &Filed) -> bool {
        self.is_between(filed) && self.session.is_none_or(|id| filed.session.id == id)
    }

    /// Whether the user's addresses are a session's.
    fn is_between(&self, filed: &Filed) -> bool {
        let session = &filed.session;
        self.client.is_none_or(|ip| session.client.ip == ip)
            && self.gateway.is_none_or(|(ip, port)| {
                session.gateway.ip == ip && port.is_none_or(|port| session.gateway.port == port)
            })
    }
}
