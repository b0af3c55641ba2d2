//! Did the tunnel inside the IKE SA come up, and was it renewed?

use crate::diagnose::ike2::{Auth, Story};
use crate::diagnose::{Basis, Confidence, Context, Family, Finding, Findings, Stage, cause, say};
use crate::time::Span;
use crate::track::ike2::{Exchange, Message, kind};
use crate::track::session::{Session, Side, Step};

/// The family.
pub(super) static FAMILY: Family = Family {
    name: "child",
    causes: &[&CHILD_REFUSED, &REKEY_FAILED],
    check,
};

cause! {
    /// ## What it means
    /// The peers accepted each other, but the gateway granted no tunnel: its proposals for
    /// ESP, the traffic selectors or the address asked for did not suit it. Which of these is
    /// encrypted.
    ///
    /// ## What is seen
    /// An `IKE_AUTH` answer that is longer than one error notify, but shorter than any answer
    /// that holds the SA and the two traffic selectors of a child; and no ESP afterwards. Or a
    /// `CREATE_CHILD_SA` for the first tunnel, or for a further one, that was refused.
    ///
    /// ## Likely causes
    /// - Traffic selectors (subnets) do not match: `TS_UNACCEPTABLE`.
    /// - No common ESP proposal: `NO_PROPOSAL_CHOSEN`.
    /// - The address pool is exhausted or missing: `INTERNAL_ADDRESS_FAILURE`.
    ///
    /// ## What to check on each side
    /// - Gateway: its log names the notify it sent.
    /// - Both: subnets as mirror images, ESP proposals, address pool.
    ///
    /// ## When this is wrong
    /// When both sides agreed to do without a child in `IKE_AUTH` (RFC 6023).
    pub(super) static CHILD_REFUSED = {
        code: "child-refused",
        title: "the peers accepted each other, but no tunnel was granted",
        remedies: [
            "Read the gateway's log: TS_UNACCEPTABLE, NO_PROPOSAL_CHOSEN or INTERNAL_ADDRESS_FAILURE.",
            "Make the traffic selectors (subnets) of both sides mirror images of each other.",
            "Compare the ESP proposals of both sides, group for PFS included.",
            "Check that the gateway's address pool exists and is not exhausted.",
        ],
        needs: "the gateway's log, or the IKE keys of this session",
    }
}

cause! {
    /// ## What it means
    /// The tunnel works, but renewing or adding an SA was refused: it will stop when the old
    /// SA's lifetime ends.
    ///
    /// ## What is seen
    /// A `CREATE_CHILD_SA` answer with room for one short notify only, and none that succeeded
    /// after it.
    ///
    /// ## Likely causes
    /// - Perfect forward secrecy is on at one side only, or with another group: the first SA
    ///   has no key exchange of its own, so this shows only at the first renewal.
    /// - ESP proposals that have only the negotiated suite in common by chance.
    ///
    /// ## What to check on each side
    /// - Both: the PFS group of the child, and its proposals.
    ///
    /// ## When this is wrong
    /// When both sides began to renew at once and one gave way (`TEMPORARY_FAILURE`): then a
    /// later attempt succeeds.
    pub(super) static REKEY_FAILED = {
        code: "rekey-failed",
        title: "an SA could not be renewed or added",
        remedies: [
            "Set the same PFS group for the child on both sides, or switch PFS off on both.",
            "Compare the ESP proposals of both sides; the gateway's log names the notify it sent.",
        ],
        needs: "the log of the side that refused",
    }
}

fn check(session: &Session, _: &Context, findings: &mut Findings) {
    let Some(story) = Story::of(session) else {
        return;
    };
    match story.auth {
        Auth::ChildRefused(exchange) => refused(&story, exchange, findings),
        Auth::EapEnded(exchange) if story.closes_eap(exchange) => {
            after_eap(&story, exchange, findings);
        }
        Auth::Granted(exchange) if story.hides_child(exchange) => {
            hidden(&story, exchange, findings);
        }
        Auth::Granted(exchange) => refused_first(&story, exchange, findings),
        Auth::ClientRefused(exchange, farewell) => {
            taken_down(&story, exchange, farewell, findings);
        }
        _ => {}
    }
    rekey(&story, findings);
}

fn step<'a>(story: &Story<'a>, message: Option<&Message>) -> Option<&'a Step> {
    message
        .and_then(|m| m.step)
        .and_then(|index| story.session.step(index))
}

fn refused(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    let (Some(asked), Some(answered), Some(suite)) = (
        step(story, exchange.request.as_ref()),
        step(story, exchange.response.as_ref()),
        story.suite,
    ) else {
        return;
    };
    // Where the peers may leave the child out, a request without one is short as well: it
    // lacks SA and selectors just as its answer does.
    let could_hold = suite
        .least_success(true)
        .is_some_and(|least| asked.length >= least + 32);
    if story.childless() && !could_hold {
        return;
    }
    let least = suite.least_success(true).unwrap_or_default();
    // The next message ID went to something else: there was one exchange of IKE_AUTH and no
    // EAP, whose first answer may be as short.
    let went_on = |e: &&Exchange| e.sa == exchange.sa && e.by == exchange.by && e.id == 2;
    let next = story.facts.of_kind(kind::INFORMATIONAL).find(went_on);
    let proven = exchange.id == 1 && next.is_some() && could_hold;
    findings.push(
        Finding::failure(
            &CHILD_REFUSED,
            Stage::IpsecChild,
            if proven && story.session.esp.is_empty() {
                Basis::Proven
            } else {
                Basis::Inferred
            },
            say!(
                "The gateway's IKE_AUTH answer is {} octets: more than one error notify, but less than the {least} that the smallest granted tunnel takes with this suite; no ESP followed.",
                answered.length
            ),
        )
        .frame(asked.at, say!("{}, {} octets", asked.message, asked.length))
        .step(answered, ", too short to grant a tunnel")
        .candidates(&["ts-unacceptable", "child-proposal-mismatch", "config-no-address"])
        .exclude("psk-mismatch", "the answer holds more than a refusal: authentication succeeded")
        .exclude("proposal-mismatch", "the gateway chose an IKE proposal"),
    );
}

/// The client deletes at once what it was granted, and only that.
fn taken_down(
    story: &Story<'_>,
    exchange: &Exchange,
    farewell: &Exchange,
    findings: &mut Findings,
) {
    let (Some(answered), Some(left)) = (
        step(story, exchange.response.as_ref()),
        step(story, farewell.request.as_ref()),
    ) else {
        return;
    };
    if !story.keeps_ike_sa(farewell) {
        return;
    }
    let names_spi = (farewell.request.as_ref()).is_some_and(|left| story.names_spi(left));
    let tells = if names_spi {
        "has room for one SPI"
    } else {
        "may delete one SPI, and the IKE SA is used after it"
    };
    findings.push(
        Finding::failure(
            &CHILD_REFUSED,
            Stage::IpsecChild,
            Basis::Inferred,
            say!(
                "The gateway granted a tunnel ({} octets), and {} later the client sent a message of {} octets, which {tells}: it takes the tunnel down and keeps the IKE SA; no ESP followed.",
                answered.length,
                left.at.time - answered.at.time,
                left.length
            ),
        )
        .frame(answered.at, say!("{}, {} octets", answered.message, answered.length))
        .step(left, ": the client deletes the tunnel")
        .candidates(&["ts-unacceptable", "child-proposal-mismatch"])
        .exclude("auth-failed", "the peers accepted each other: the IKE SA stays")
        .remedy("Read the client's log: it names what it did not accept in the answer, or what it could not install.")
        .remedy("Compare mode (tunnel or transport), traffic selectors and ESP proposals of both sides.")
        .specific()
        .needs("the client's log, or the IKE keys of this session"),
    );
}

/// The first tunnel was refused in `IKE_AUTH`, and a further one was granted after it: the
/// session works, and one tunnel is missing.
fn refused_first(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    /// What a request may hold more of than its answer, beside a child.
    const NAME: u32 = 32;
    let (Some(asked), Some(answered), Some(suite)) = (
        step(story, exchange.request.as_ref()),
        step(story, exchange.response.as_ref()),
        story.suite,
    ) else {
        return;
    };
    let whole =
        |message: Option<&Message>| message.is_some_and(|m| m.is_whole() && m.fragments.is_none());
    let (Some(least), Some(notify)) = (suite.least_success(true), suite.short_notify()) else {
        return;
    };
    // What SA and selectors take: the request is longer than the answer by as much, and long
    // enough to hold them itself. Without a child it lacks them as its answer does.
    // The client's name, which the answer does not hold, must not pass for one: long names are
    // as long as selectors.
    let child = suite
        .authentication()
        .map(|bare| least.saturating_sub(bare).saturating_add(NAME));
    let held_child = asked.length >= least + NAME
        && child.is_some_and(|child| asked.length.saturating_sub(answered.length) >= child);
    let short = answered.length > notify && answered.length < least;
    if story.auths().count() != 1
        || !whole(exchange.request.as_ref())
        || !whole(exchange.response.as_ref())
        || !held_child
        || !short
    {
        return;
    }
    let mut later = story
        .facts
        .of_kind(kind::CREATE_CHILD)
        .filter(|e| is_success(story, e));
    let Some(granted) = later.next().and_then(|e| step(story, e.response.as_ref())) else {
        return;
    };
    let why = say!(
        "The gateway's IKE_AUTH answer is {} octets, less than the {least} that the smallest granted tunnel takes with this suite, and the request ({} octets) asked for one: that tunnel was refused.",
        answered.length,
        asked.length
    );
    // Some of what was granted later renewed the IKE SA: those are no tunnels.
    let renewed = story.facts.sas.len().saturating_sub(1);
    let another = later.count().saturating_add(1) > renewed || !story.session.esp.is_empty();
    let finding = if another {
        let summary = say!(
            "{why} A further one was granted {} later.",
            granted.at.time - answered.at.time
        );
        Finding::degradation(&CHILD_REFUSED, Stage::IpsecChild, Basis::Inferred, summary).frame(
            granted.at,
            say!("{}, {} octets: granted", granted.message, granted.length),
        )
    } else {
        let summary = say!("{why} The IKE SA was renewed, and no tunnel was ever granted.");
        Finding::failure(&CHILD_REFUSED, Stage::IpsecChild, Basis::Inferred, summary)
    };
    findings.push(
        finding
            .frame(asked.at, say!("{}, {} octets", asked.message, asked.length))
            .step(answered, ", too short to grant a tunnel")
            .candidates(&[
                "ts-unacceptable",
                "child-proposal-mismatch",
                "config-no-address",
            ]),
    );
}

/// EAP went well, and the answer that closes it grants nothing.
fn after_eap(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    let (Some(asked), Some(answered)) = (
        step(story, exchange.request.as_ref()),
        step(story, exchange.response.as_ref()),
    ) else {
        return;
    };
    let least = story
        .suite
        .and_then(|suite| suite.least_success(false))
        .unwrap_or_default();
    findings.push(
        Finding::failure(
            &CHILD_REFUSED,
            Stage::IpsecChild,
            Basis::Inferred,
            say!(
                "EAP succeeded, by the lengths of the last rounds, and the answer that closes IKE_AUTH is {} octets: more than one error notify, but less than the {least} that the smallest granted tunnel takes with this suite; no ESP followed.",
                answered.length
            ),
        )
        .frame(asked.at, say!("{}, {} octets: authentication alone", asked.message, asked.length))
        .step(answered, ", too short to grant a tunnel")
        .candidates(&["ts-unacceptable", "child-proposal-mismatch", "config-no-address"])
        .exclude("eap-failed", "the gateway's answer before has the length of EAP's success, and the client went on")
        .exclude("proposal-mismatch", "the gateway chose an IKE proposal"),
    );
}

/// The answer is long enough either way, and no ESP shows which.
fn hidden(story: &Story<'_>, exchange: &Exchange, findings: &mut Findings) {
    let Some(answered) = step(story, exchange.response.as_ref()) else {
        return;
    };
    if story.session.vantage.started_late {
        return;
    }
    findings.push(
        Finding::failure(
            &CHILD_REFUSED,
            Stage::IpsecChild,
            Basis::Inferred,
            say!(
                "The peers answered each other in full, and no ESP was seen: {} octets, large enough for a certificate, may hold a granted tunnel as well as a refused one.",
                answered.length
            ),
        )
        .inconclusive()
        .step(answered, ", with or without a tunnel")
        .candidates(&["ts-unacceptable", "child-proposal-mismatch", "config-no-address", "esp-blocked"])
        .needs("a capture that includes ESP (IP protocol 50, UDP 4500) while somebody uses the tunnel, or the gateway's log"),
    );
}

fn rekey(story: &Story<'_>, findings: &mut Findings) {
    let all: Vec<_> = story.facts.of_kind(kind::CREATE_CHILD).collect();
    let Some(index) = all.iter().rposition(|e| is_refusal(story, e)) else {
        return;
    };
    let Some(exchange) = all.get(index) else {
        return;
    };
    // A later success, of either side, makes up for it, unless it was for another tunnel.
    let mended = all.iter().skip(index + 1).any(|e| is_success(story, e));
    if mended && !for_another(story, &all, index) {
        return;
    }
    let (Some(asked), Some(answered)) = (
        step(story, exchange.request.as_ref()),
        step(story, exchange.response.as_ref()),
    ) else {
        return;
    };
    let refusals = all.iter().filter(|e| is_refusal(story, e)).count();
    let what = say!(
        "{refusals} CREATE_CHILD_SA request(s) were refused: the last answer is {} octets, room for one short notify; the request had {}.",
        answered.length,
        asked.length
    );
    let earlier = all.iter().take(index).any(|e| is_success(story, e));
    let finding = if !earlier && !has_tunnel(story) {
        Finding::failure(
            &CHILD_REFUSED,
            Stage::IpsecChild,
            Basis::Proven,
            say!("{what} IKE_AUTH had granted no tunnel either."),
        )
        .exclude("auth-failed", "the peers authenticated each other before")
        .candidates(&["ts-unacceptable", "child-proposal-mismatch", "pfs-mismatch"])
    } else if is_hasty(story, asked) {
        Finding::degradation(
            &CHILD_REFUSED,
            Stage::IpsecChild,
            Basis::Inferred,
            say!("{what} It came as soon as IKE_AUTH was done, so it was for a further tunnel, not for a renewal; the first one stays."),
        )
        .candidates(&["ts-unacceptable", "child-proposal-mismatch", "pfs-mismatch"])
    } else {
        Finding::degradation(
            &REKEY_FAILED,
            Stage::IpsecChild,
            Basis::Proven,
            say!("{what} Whether it was to renew an SA or for a further tunnel is encrypted."),
        )
        .sure(Confidence::Likely)
        .candidates(&[
            "pfs-mismatch",
            "child-proposal-mismatch",
            "ts-unacceptable",
            "child-refused",
        ])
    };
    findings.push(
        finding
            .step(asked, ", refused")
            .step(answered, ", one short notify long"),
    );
}

/// Whether a tunnel came of `IKE_AUTH`: it is used, or the answer was long enough to grant it.
fn has_tunnel(story: &Story<'_>) -> bool {
    let used = story.esp(Side::Client) + story.esp(Side::Gateway) > 0;
    let rounds = story.auths().count();
    let last = story.auths().next_back().and_then(|e| e.response.as_ref());
    let least = story.suite.and_then(|s| s.least_success(rounds == 1));
    let granted = match (last, least) {
        (Some(answer), Some(least)) => !answer.is_whole() || answer.length >= least,
        // What cannot be seen may have been granted.
        _ => true,
    };
    used || granted
}

/// Whether a request follows `IKE_AUTH` so soon, before any data, that nothing can be due for
/// renewal.
fn is_hasty(story: &Story<'_>, asked: &Step) -> bool {
    let granted = story.auths().next_back().and_then(|e| e.response.as_ref());
    let unused = story.session.esp.iter().all(|flow| flow.first > asked.at);
    unused
        && story.session.knows_esp()
        && granted.is_some_and(|answer| asked.at.time - answer.at.time <= Span::from_secs(1))
}

/// Whether the tunnel that was granted after a refusal was another one: several were asked for in
/// a row as soon as `IKE_AUTH` was done. Whoever is told to use another group asks again with a
/// key of another size; whoever is refused for another reason waits before trying again.
fn for_another(story: &Story<'_>, all: &[&Exchange], refused: usize) -> bool {
    /// What differs between the selectors of two tunnels, filled up to a block.
    const ALIKE: u32 = 16;
    let (Some(exchange), Some(next)) = (all.get(refused), all.get(refused.saturating_add(1)))
    else {
        return false;
    };
    let (Some(asked), Some(answered), Some(after)) = (
        step(story, exchange.request.as_ref()),
        step(story, exchange.response.as_ref()),
        step(story, next.request.as_ref()),
    ) else {
        return false;
    };
    exchange.by == next.by
        && exchange.sa == next.sa
        && is_success(story, next)
        && is_hasty(story, asked)
        && is_hasty(story, after)
        && asked.length.abs_diff(after.length) <= ALIKE
        && after.at.time >= answered.at.time
}

fn suite_of(story: &Story<'_>, exchange: &Exchange) -> Option<crate::track::ike2::Suite> {
    story.facts.sas.get(exchange.sa)?.suite().or(story.suite)
}

fn is_refusal(story: &Story<'_>, exchange: &Exchange) -> bool {
    let short = suite_of(story, exchange).and_then(|suite| suite.short_notify());
    match (&exchange.response, short) {
        (Some(response), Some(short)) => response.fragments.is_none() && response.length <= short,
        _ => false,
    }
}

fn is_success(story: &Story<'_>, exchange: &Exchange) -> bool {
    let least = suite_of(story, exchange).and_then(|suite| suite.least_child());
    match (&exchange.response, least) {
        (Some(response), Some(least)) => response.length >= least,
        _ => false,
    }
}
