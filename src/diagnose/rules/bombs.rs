//! What will break one day, on sessions that work: worth knowing, and never a failure.

use std::fmt::Write as _;

use vpnscope_dissectors::ike::v2::{Algorithm, NotifyType};

use crate::diagnose::ike2::Story;
use crate::diagnose::{
    Basis, Confidence, Context, Family, Finding, Findings, Outcome, Stage, cause, say,
};
use crate::time::{Span, Timestamp};
use crate::track::ike2::kind;
use crate::track::session::{Kind, Session, Side};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "bombs",
    causes: &[
        &WEAK_ALGORITHMS,
        &IKEV1_OBSOLETE,
        &PFS_NOT_EXERCISED,
        &NO_IKE_FRAGMENTATION,
        &KEEPALIVE_TOO_SLOW,
        &CERT_EXPIRES_SOON,
    ],
    check,
};

cause! {
    /// ## What it means
    /// The connection works with algorithms that are deprecated (RFC 8247): updates of either side
    /// remove them, and then the peers share no proposal any more.
    /// ## What is seen
    /// The accepted proposal names DES, 3DES, MD5, or a key exchange group of 1024 bits or less.
    /// ## Likely causes
    /// Old defaults: Windows without `NegotiateDH2048_AES256`, old routers, copied configurations.
    /// ## What to check on each side
    /// Which stronger suites both sides offer already; those of the other clients of this gateway.
    /// ## When this is wrong
    /// Never as such; how urgent it is depends on what is protected.
    pub(super) static WEAK_ALGORITHMS = {
        code: "weak-algorithms",
        title: "the connection works with deprecated algorithms",
        remedies: ["Offer AES-GCM or AES-CBC with SHA-2 and group 14, 19 or 31 on both sides, then remove the old ones."],
    }
}

cause! {
    /// ## What it means
    /// The connection uses IKEv1, which is historic since RFC 9395: no new algorithms, and new
    /// products leave it out.
    /// ## What is seen
    /// IKE messages of version 1.
    /// ## Likely causes
    /// L2TP over IPsec, XAUTH with group names, site-to-site tunnels that nobody touched.
    /// ## What to check on each side
    /// Whether both sides can IKEv2; most have since 2012.
    /// ## When this is wrong
    /// Never as such.
    pub(super) static IKEV1_OBSOLETE = {
        code: "ikev1-obsolete",
        title: "the connection uses IKEv1",
        remedies: ["Plan the move to IKEv2."],
    }
}

cause! {
    /// ## What it means
    /// The first child SA takes its keys from the IKE SA: whether the peers agree on a group for
    /// perfect forward secrecy shows only at the first rekeying, an hour or eight later.
    /// ## What is seen
    /// A session that works, without any `CREATE_CHILD_SA` exchange in the capture.
    /// ## Likely causes
    /// None: every young connection looks like this.
    /// ## What to check on each side
    /// Whether both sides name the same group in their ESP proposals, or none.
    /// ## When this is wrong
    /// When rekeyings happen outside of the capture.
    pub(super) static PFS_NOT_EXERCISED = {
        code: "pfs-not-exercised",
        title: "no rekeying was seen yet: a different PFS group would show only then",
        remedies: ["Compare the ESP proposals of both sides, group included, or force a rekeying while you watch."],
    }
}

cause! {
    /// ## What it means
    /// A large `IKE_AUTH` passes as IP fragments because the peers did not agree on IKE fragmentation
    /// (RFC 7383). On the first path that drops fragments the same client fails.
    /// ## What is seen
    /// `IKE_AUTH` in IP fragments, and `IKEV2_FRAGMENTATION_SUPPORTED` missing from one side's
    /// `IKE_SA_INIT`.
    /// ## Likely causes
    /// Certificates with long chains, an old client or a gateway where the option is off.
    /// ## What to check on each side
    /// Which of the two sides does not announce it.
    /// ## When this is wrong
    /// When the path is known and never drops fragments.
    pub(super) static NO_IKE_FRAGMENTATION = {
        code: "no-ike-fragmentation",
        title: "large IKE messages depend on IP fragments",
        remedies: ["Switch on IKE fragmentation (RFC 7383) on the side that does not announce it."],
    }
}

cause! {
    /// ## What it means
    /// The client is behind a NAT and stays silent for longer than many NATs keep a UDP mapping.
    /// The next packet may leave from another port, and the gateway's packets reach nobody.
    /// ## What is seen
    /// NAT was detected, and the client's messages, ESP and keepalives are on average more than
    /// 60 s apart.
    /// ## Likely causes
    /// Keepalives switched off or set to minutes; RFC 3948 proposes 20 s.
    /// ## What to check on each side
    /// The client's keepalive setting; the NAT's UDP timeout (often 30 s to 180 s).
    /// ## When this is wrong
    /// When the NAT keeps mappings for longer.
    pub(super) static KEEPALIVE_TOO_SLOW = {
        code: "keepalive-too-slow",
        title: "the client behind the NAT is silent for longer than mappings live",
        remedies: ["Set the client's NAT keepalive to 20 s."],
    }
}

cause! {
    /// ## What it means
    /// A certificate of this connection is valid today and will not be for long: one morning
    /// nobody can connect any more.
    /// ## What is seen
    /// A certificate in clear (TLS 1.2, DTLS 1.2 and older) that expires within 30 days of the
    /// capture, and within the last third of its life: what is renewed by itself is renewed before.
    /// ## Likely causes
    /// Nobody renews it, the renewal fails, or the gateway was not restarted after it.
    /// ## What to check on each side
    /// Gateway: when its certificate and those of its authorities expire; whether a newer one
    /// lies there already. Client: its own certificate, where it has one.
    /// ## When this is wrong
    /// When the renewal is planned, or the clock of the capturing host is wrong.
    pub(super) static CERT_EXPIRES_SOON = {
        code: "cert-expires-soon",
        title: "a certificate of this connection expires soon",
        remedies: ["Renew the certificate, load it, and capture again to see the new date."],
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    // Everything here is worth knowing and changes no verdict.
    if crate::diagnose::is_brief() {
        return;
    }
    if findings.any_trouble() || super::progress(session).outcome != Outcome::Established {
        return;
    }
    if session.kind == Kind::Ikev1 {
        findings.push(note(
            &IKEV1_OBSOLETE,
            Stage::IkeNegotiation,
            "The session uses IKEv1 (historic since RFC 9395).".to_string(),
        ));
    }
    weak(session, findings);
    keepalive(session, findings);
    certificates(session, findings);
    if let Some(story) = Story::of(session) {
        rekeying(&story, findings);
        fragmentation(&story, findings);
    }
}

fn note(cause: &'static crate::diagnose::Cause, stage: Stage, summary: String) -> Finding {
    Finding::info(cause, stage, Basis::Seen, summary).sure(Confidence::Certain)
}

/// Whether the name of a transform stands for something deprecated.
fn is_weak(name: &str) -> bool {
    ["DES", "MD5", "MODP_768", "MODP_1024", "RC4", "RC5", "NULL"]
        .iter()
        .any(|weak| name.contains(weak))
}

fn weak(session: &Session, findings: &mut Findings) {
    let names: Vec<String> = if let Some(suite) = session
        .ike2()
        .and_then(|f| f.sas.first())
        .and_then(crate::track::ike2::IkeSa::suite)
    {
        let mut names = vec![
            Algorithm::Encryption(suite.encryption).to_string(),
            Algorithm::Prf(suite.prf).to_string(),
        ];
        names.extend(suite.integrity.map(|i| Algorithm::Integrity(i).to_string()));
        names.extend(
            suite
                .key_exchange
                .map(|k| Algorithm::KeyExchange(k).to_string()),
        );
        names
    } else if let Some(suite) = session.ike1().and_then(|f| f.suite()) {
        suite.to_string().split('/').map(String::from).collect()
    } else {
        return;
    };
    let weak: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| is_weak(name))
        .collect();
    if !weak.is_empty() {
        findings.push(note(
            &WEAK_ALGORITHMS,
            Stage::IkeNegotiation,
            say!("The accepted proposal holds {}.", weak.join(", ")),
        ));
    }
}

fn rekeying(story: &Story<'_>, findings: &mut Findings) {
    if story.facts.of_kind(kind::CREATE_CHILD).next().is_some() || story.session.esp.is_empty() {
        return;
    }
    let lasted = story.session.last.time - story.session.first.time;
    findings.push(note(
        &PFS_NOT_EXERCISED,
        Stage::IpsecChild,
        say!("In the {lasted} of this session nothing was rekeyed."),
    ));
}

fn fragmentation(story: &Story<'_>, findings: &mut Findings) {
    if story
        .facts
        .both_said(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED.0)
    {
        return;
    }
    let large = story
        .auths()
        .flat_map(|e| e.request.iter().chain(&e.response))
        .filter_map(|m| story.session.step(m.step?))
        .find(|step| step.fragments > 1);
    let Some(step) = large else { return };
    let mut text = say!(
        "The {} of {} octets passed in {} IP fragments; IKE fragmentation was not agreed",
        step.message,
        step.length,
        step.fragments
    );
    let _ = write!(text, ".");
    findings.push(
        note(&NO_IKE_FRAGMENTATION, Stage::IkeAuthentication, text).step(step, " in IP fragments"),
    );
}

fn keepalive(session: &Session, findings: &mut Findings) {
    let lasted = session.last.time - session.first.time;
    if lasted < Span::from_secs(300) {
        return;
    }
    let behind = session
        .ike2()
        .is_some_and(|facts| facts.nat.detected(Side::Client) && !facts.nat.forced(Side::Client));
    if !behind {
        return;
    }
    let seen = i64::try_from(session.vantage.frames.client).unwrap_or(i64::MAX);
    let apart = Span(lasted.0 / seen.max(1));
    if apart < Span::from_secs(60) {
        return;
    }
    findings.push(note(
        &KEEPALIVE_TOO_SLOW,
        Stage::EspData,
        say!(
            "Behind its NAT the client sent {seen} packets in {lasted}, on average {apart} apart."
        ),
    ));
}

/// A day, in seconds.
const DAY: i64 = 86_400;

/// Certificates that expire soon, at the time of the capture.
fn certificates(session: &Session, findings: &mut Findings) {
    let Some(facts) = session.tls() else { return };
    let connections = facts.connections.iter().map(|c| &c.chains);
    let associations = facts.associations.iter().map(|a| &a.chains);
    let all = connections.chain(associations).flat_map(|chains| {
        let client = chains.client.iter().map(|chain| (Side::Client, chain));
        let gateway = chains.gateway.iter().map(|chain| (Side::Gateway, chain));
        client.chain(gateway)
    });
    let soonest = all
        .flat_map(|(side, chain)| chain.certificates.iter().map(move |c| (side, chain.at, c)))
        .filter(|(_, at, certificate)| {
            let now = at.time.0.div_euclid(1_000_000_000);
            let left = certificate.not_after_s.saturating_sub(now);
            let life = certificate
                .not_after_s
                .saturating_sub(certificate.not_before_s);
            left > 0 && left < (30 * DAY).min(life / 3)
        })
        .min_by_key(|(_, _, certificate)| certificate.not_after_s);
    let Some((side, at, certificate)) = soonest else {
        return;
    };
    let now = at.time.0.div_euclid(1_000_000_000);
    let date = Timestamp::from_parts(certificate.not_after_s, 0).to_string();
    let finding = note(
        &CERT_EXPIRES_SOON,
        Stage::TlsHandshake,
        say!(
            "The certificate of {} that the {} sends expires on {}, {} day(s) after this capture.",
            certificate.subject,
            side.word(),
            date.get(..10).unwrap_or_default(),
            certificate.not_after_s.saturating_sub(now) / DAY
        ),
    );
    findings.push(finding.frame(at, "the certificate"));
}
