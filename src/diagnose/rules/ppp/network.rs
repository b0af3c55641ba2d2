//! What became of the network protocols, once the user was in.

use vpnscope_dissectors::ppp::{IpcpOption, Protocol};

use super::{
    CONFIG_NO_ADDRESS, PPP_IPCP_REJECTED, PPP_MPPE_REQUIRED, closed, ended_by, quoted, refusals,
    tries, who, with_step,
};
use crate::diagnose::{Basis, Finding, Stage, say};
use crate::track::ppp::{Ppp, Value};
use crate::track::session::{Session, Side};

/// The link is up and the user in: what became of the network protocols?
pub(super) fn network(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let reached = ppp.reached_network()
        || ppp
            .rejected
            .iter()
            .any(|rejected| rejected.protocol.0 & 0xc000 == 0x8000);
    if !reached {
        return None;
    }
    encryption(session, ppp)
        .or_else(|| protocol_rejected(session, ppp))
        .or_else(|| address(session, ppp))
        .or_else(|| network_ended(session, ppp))
}

/// A text that speaks of encryption.
fn speaks_of_mppe(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("mppe") || text.contains("encryption")
}

fn encryption(session: &Session, ppp: &Ppp) -> Option<Finding> {
    /// The option of MPPE in CCP.
    const MPPE: u8 = 18;
    let end = ppp
        .terminated
        .iter()
        .find(|end| end.protocol == Protocol::LCP);
    let said = end.is_some_and(|end| speaks_of_mppe(&end.text));
    let rejected = ppp
        .rejected
        .iter()
        .find(|rejected| rejected.protocol == Protocol::CCP);
    let refusal = [Side::Client, Side::Gateway].into_iter().find_map(|side| {
        let refusal = ppp.ccp.of.of(side).refusal(MPPE)?;
        Some((side, refusal)).filter(|_| refusal.rejected || refusal.count >= 4)
    });
    let wanted = |side: Side| ppp.ccp.of.of(side).wanted.iter().any(|w| w.option == MPPE);
    // Only the side that wanted MPPE ends a link for lack of it.
    let ender = end.map(|end| end.by);
    let by_rejection =
        rejected.is_some_and(|r| ender == Some(r.by.other()) && wanted(r.by.other()));
    let by_option = refusal.is_some_and(|(side, _)| ender == Some(side));
    if !said && !by_rejection && !by_option {
        return None;
    }
    let mut finding = Finding::failure(
        &PPP_MPPE_REQUIRED,
        Stage::PppNetwork,
        if said { Basis::Seen } else { Basis::Inferred },
        match (refusal, rejected) {
            (Some((side, _)), _) => say!(
                "The {} refused MPPE in CCP and the {} ended the link.",
                who(side.other()),
                who(side)
            ),
            (None, Some(rejected)) => say!(
                "The {} rejected CCP and the {} ended the link.",
                who(rejected.by),
                who(rejected.by.other())
            ),
            (None, None) => say!(
                "The {} ended the link: \"{}\".",
                ender.map_or("peer", who),
                end.map_or("", |end| end.text.as_str())
            ),
        },
    );
    if let Some((_, refusal)) = refusal {
        for step in &refusal.steps {
            finding = with_step(finding, session, Some(*step));
        }
    }
    finding = with_step(finding, session, rejected.and_then(|r| r.step));
    Some(with_step(finding, session, end.and_then(|end| end.step)))
}

fn protocol_rejected(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let rejected = ppp
        .rejected
        .iter()
        .find(|rejected| rejected.protocol == Protocol::IPCP)?;
    if ppp.ipv6cp.is_open() {
        return None;
    }
    let mut finding = Finding::failure(
        &PPP_IPCP_REJECTED,
        Stage::PppNetwork,
        Basis::Seen,
        say!(
            "The {} rejected IPCP: it does not do IPv4 on this link.",
            who(rejected.by)
        ),
    );
    finding = with_step(finding, session, rejected.step);
    for other in ppp.rejected.iter().filter(|r| r.at != rejected.at) {
        finding = with_step(finding, session, other.step);
    }
    finding = with_step(finding, session, ppp.ipcp.of.of(rejected.by.other()).first);
    Some(match ended_by(ppp, None) {
        Some(end) => with_step(finding, session, end.step),
        None => finding,
    })
}

/// The client gets no address, or does not get the one that it wants.
fn address(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let half = &ppp.ipcp.of.client;
    let wanted = half
        .wanted
        .iter()
        .find_map(|w| match (IpcpOption(w.option), w.value) {
            (IpcpOption::IP_ADDRESS, Value::Ipv4(address)) => Some(address),
            _ => None,
        });
    let refusal = half.refusal(IpcpOption::IP_ADDRESS.0)?;
    let over = ended_by(ppp, None).is_some() || closed(session);
    if refusal.rejected && (over || half.acked.is_none()) {
        let asked = wanted.unwrap_or_default();
        return Some(refusals(
            Finding::failure(
                &CONFIG_NO_ADDRESS,
                Stage::PppNetwork,
                Basis::Seen,
                say!(
                    "The gateway rejected the client's request for an address (last {}): it assigns none.",
                    std::net::Ipv4Addr::from(asked)
                ),
            )
            .candidates(&["ppp-ipcp-rejected"]),
            session,
            refusal,
        ));
    }
    if half.acked.is_none() && refusal.count >= 4 {
        let instead = match refusal.instead {
            Some(Value::Ipv4(address)) => std::net::Ipv4Addr::from(address).to_string(),
            _ => "another".to_string(),
        };
        let cause = if refusal.instead == Some(Value::Ipv4([0; 4])) {
            &CONFIG_NO_ADDRESS
        } else {
            &PPP_IPCP_REJECTED
        };
        return Some(refusals(
            Finding::failure(
                cause,
                Stage::PppNetwork,
                Basis::Seen,
                say!(
                    "The gateway refused the client's address {} times and proposed {instead}; they never agreed.",
                    refusal.count
                ),
            ),
            session,
            refusal,
        ));
    }
    None
}

/// IPCP that was terminated, refused or not answered.
fn network_ended(session: &Session, ppp: &Ppp) -> Option<Finding> {
    let terminated = ppp
        .terminated
        .iter()
        .find(|end| matches!(end.protocol, Protocol::IPCP | Protocol::IPV6CP));
    if let Some(end) = terminated {
        let finding = Finding::failure(
            &PPP_IPCP_REJECTED,
            Stage::PppNetwork,
            Basis::Seen,
            say!(
                "The {} terminated {}{}.",
                who(end.by),
                crate::track::ppp::fold::short_name(end.protocol),
                quoted(&end.text)
            ),
        );
        return Some(with_step(finding, session, end.step));
    }
    let client = &ppp.ipcp.of.client;
    let refusal = [Side::Client, Side::Gateway]
        .into_iter()
        .find_map(|side| ppp.ipcp.of.of(side).most_refused().filter(|r| r.count >= 5));
    if let Some(refusal) = refusal {
        let finding = Finding::failure(
            &PPP_IPCP_REJECTED,
            Stage::PppNetwork,
            Basis::Seen,
            say!(
                "IPCP option {} was refused {} times and never agreed.",
                IpcpOption(refusal.option),
                refusal.count
            ),
        );
        return Some(refusals(finding, session, refusal));
    }
    let (asked, step) = tries(session, client)?;
    let no_answer = client.answers == 0 && ppp.ipcp.of.gateway.requests == 0;
    if asked >= 3 && no_answer {
        let finding = Finding::failure(
            &PPP_IPCP_REJECTED,
            Stage::PppNetwork,
            Basis::Absence { of: Side::Gateway },
            say!("The client sent {asked} IPCP Configure-Requests and the gateway never answered."),
        )
        .candidates(&["config-no-address", "response-lost"]);
        return Some(with_step(finding, session, Some(step)));
    }
    None
}
