//! The families: one file each. A new family is its file, its `mod` line and its entry here.

use super::ike2::{Auth, Story};
use super::{Confidence, Family, Outcome, Progress, Stage};
use crate::track::session::{Detail, Session};

mod auth;
mod bombs;
mod certificates;
mod child;
mod crowd;
mod dns;
mod dtls;
mod encapsulation;
pub(super) mod esp;
mod ike1;
mod l2tp;
mod l2tp_esp;
mod liveness;
mod natt;
mod negotiation;
mod path;
mod points;
mod ppp;
mod pppoe;
mod radius;
mod reachability;
pub(crate) mod tcp;
mod tls_alerts;
mod tls_handshake;
mod tls_path;
mod traffic;
mod tunnel;
mod vpn_login;

/// All families in the order in which they are asked.
pub static FAMILIES: &[&Family] = &[
    &reachability::FAMILY,
    &negotiation::FAMILY,
    &natt::FAMILY,
    &auth::FAMILY,
    &child::FAMILY,
    &esp::FAMILY,
    &liveness::FAMILY,
    &ike1::negotiation::FAMILY,
    &ike1::auth::FAMILY,
    &ike1::config::FAMILY,
    &ike1::quick::FAMILY,
    &ike1::natt::FAMILY,
    &ike1::liveness::FAMILY,
    &path::FAMILY,
    &ppp::FAMILY,
    &radius::FAMILY,
    &pppoe::FAMILY,
    &l2tp::FAMILY,
    &l2tp_esp::FAMILY,
    &crowd::FAMILY,
    &encapsulation::FAMILY,
    &traffic::FAMILY,
    &points::FAMILY,
    &dns::FAMILY,
    &tcp::FAMILY,
    &tls_path::FAMILY,
    &certificates::FAMILY,
    &tls_handshake::FAMILY,
    &tls_alerts::FAMILY,
    &vpn_login::FAMILY,
    &dtls::FAMILY,
    &tunnel::FAMILY,
    &bombs::FAMILY,
];

/// How far a session came.
pub fn progress(session: &Session) -> Progress {
    match &session.detail {
        Detail::Ike1(_) => super::ike1::progress(session),
        Detail::Ike2(_) => Story::of(session).map_or(UNKNOWN, |story| ike2(&story)),
        Detail::L2tp(_) => l2tp::progress(session),
        Detail::Pppoe(_) => pppoe::progress(session),
        Detail::Radius => radius::progress(session),
        Detail::Esp => Progress {
            stage: Stage::EspData,
            ..UNKNOWN
        },
        Detail::Tls(_) => super::tls::progress(session),
        Detail::Dns(_) => Progress {
            stage: Stage::Dns,
            ..UNKNOWN
        },
    }
}

const UNKNOWN: Progress = Progress {
    stage: Stage::Reachability,
    outcome: Outcome::Incomplete,
    confidence: Confidence::Possible,
};

fn ike2(story: &Story<'_>) -> Progress {
    let incomplete = |stage| Progress { stage, ..UNKNOWN };
    let session = story.session;
    let esp = !session.esp.is_empty();
    match story.auth {
        Auth::Granted(last) => {
            let outcome = if session.vantage.started_late {
                Outcome::Incomplete
            } else {
                Outcome::Established
            };
            let stage = if esp {
                Stage::EspData
            } else {
                Stage::IpsecChild
            };
            let proven = story.used_after(last);
            let confidence = if proven {
                Confidence::Certain
            } else {
                Confidence::Likely
            };
            Progress {
                stage,
                outcome,
                confidence,
            }
        }
        Auth::NotReached if session.vantage.started_late => incomplete(if esp {
            Stage::EspData
        } else {
            Stage::IpsecChild
        }),
        Auth::NotReached if story.facts.init_rounds().any(|e| e.response.is_some()) => {
            incomplete(Stage::IkeNegotiation)
        }
        Auth::NotReached => incomplete(Stage::Reachability),
        Auth::ChildRefused(_) if story.childless() => Progress {
            stage: Stage::IkeAuthentication,
            outcome: Outcome::Established,
            confidence: Confidence::Possible,
        },
        _ => incomplete(Stage::IkeAuthentication),
    }
}
