//! What a chain of certificates in clear shows by itself: dates, names, purposes, issuers.

use vpnscope_dissectors::tls::Certificate;

use super::{
    CERT_EXPIRED, CERT_MISSING_EKU, CERT_NAME_MISMATCH, CERT_NOT_YET_VALID, CERT_REJECTED,
    CERT_UNTRUSTED,
};
use crate::diagnose::tls::Story;
use crate::diagnose::{Basis, Cause, Finding, say};
use crate::time::Timestamp;
use crate::track::session::Side;
use crate::track::tls::{Chain, Connection};

/// A reason that a certificate in clear shows by itself.
pub(super) struct Reason {
    pub(super) cause: &'static Cause,
    pub(super) says: String,
}

/// What is wrong with a chain in clear, at the time of the capture, the surest first.
pub(super) fn reasons(chain: &Chain, of: Side, names: &[&str]) -> Vec<Reason> {
    let mut list = Vec::new();
    let now = chain.at.time.0.div_euclid(1_000_000_000);
    let date = |seconds| Timestamp::from_parts(seconds, 0).to_string();
    let day = |seconds| date(seconds).get(..10).unwrap_or_default().to_string();
    for certificate in &chain.certificates {
        if certificate.not_after_s < now {
            list.push(Reason {
                cause: &CERT_EXPIRED,
                says: say!(
                    "{} expired on {}",
                    certificate.subject,
                    day(certificate.not_after_s)
                ),
            });
        }
        if certificate.not_before_s > now {
            list.push(Reason {
                cause: &CERT_NOT_YET_VALID,
                says: say!(
                    "{} is valid only from {}",
                    certificate.subject,
                    day(certificate.not_before_s)
                ),
            });
        }
    }
    let Some(leaf) = chain.leaf() else {
        return list;
    };
    if of == Side::Gateway
        && let Some(name) = names.iter().find(|name| !leaf.is_for(name))
    {
        list.push(Reason {
            cause: &CERT_NAME_MISMATCH,
            says: say!("{} is not for {name}", names_of(leaf)),
        });
    }
    if let Some(usage) = leaf.extended_key_usage {
        let (has, wanted) = match of {
            Side::Gateway => (usage.server_auth, "serverAuth"),
            Side::Client => (usage.client_auth, "clientAuth"),
        };
        if !has && !usage.any {
            list.push(Reason {
                cause: &CERT_MISSING_EKU,
                says: say!("{} lacks the purpose {wanted}", leaf.subject),
            });
        }
    }
    if leaf.is_self_issued {
        list.push(Reason {
            cause: &CERT_UNTRUSTED,
            says: say!("{} is signed by itself", leaf.subject),
        });
    } else if !has_issuer(chain, leaf) && of == Side::Gateway {
        list.push(Reason {
            cause: &CERT_UNTRUSTED,
            says: say!(
                "the chain of {} certificate(s) does not hold the issuer {}",
                chain.count,
                leaf.issuer
            ),
        });
    }
    list
}

/// Whether the chain holds the certificate of the leaf's issuer. A chain whose first issuer
/// is a root may leave it out; which issuers are roots, nobody can tell from outside.
fn has_issuer(chain: &Chain, leaf: &Certificate) -> bool {
    chain
        .certificates
        .iter()
        .skip(1)
        .any(|certificate| certificate.subject == leaf.issuer)
}

fn names_of(certificate: &Certificate) -> String {
    let names = &certificate.subject_alternative_names;
    if names.is_empty() {
        return certificate.subject.clone();
    }
    let list: Vec<String> = names.iter().take(4).map(ToString::to_string).collect();
    say!("a certificate for {}", list.join(", "))
}

pub(super) fn expected_names<'a>(story: &Story<'a>) -> Vec<&'a str> {
    story
        .channel
        .and_then(Connection::hello)
        .and_then(|hello| hello.server_name.as_deref())
        .into_iter()
        .collect()
}

/// Adds what the chain itself shows to a refusal that names another reason.
pub(super) fn with_reasons(
    mut finding: Finding,
    story: &Story<'_>,
    chain: &Chain,
    of: Side,
    cause: &'static Cause,
) -> Finding {
    for reason in reasons(chain, of, &expected_names(story)) {
        finding.summary = say!("{} In clear: {}.", finding.summary, reason.says);
        let is_other = reason.cause.code != cause.code;
        let is_open = finding.basis == Basis::Inferred || cause.code == CERT_REJECTED.code;
        if is_other && is_open {
            finding = finding.candidates(&[reason.cause.code]);
        }
    }
    finding
}
