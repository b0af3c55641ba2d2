//! Whether the line or code and the capture are of the same attempt.
//!
//! In: what was asked, and the sessions. Out: one sentence that says in what they disagree, or
//! nothing. No cause is judged here.

use std::net::IpAddr;

use crate::explain::catalogue::{Dial, Entry, EntryKind};
use crate::explain::model::Match;
use crate::report::SessionReport;
use crate::time::{Span, Timestamp};

/// Why the entry and the one session in trouble cannot be of the same attempt, by the stages
/// that they speak of.
pub(super) fn other_stage(
    entry: &Entry,
    query: &str,
    sessions: &[&SessionReport],
) -> Option<String> {
    let [session] = sessions else { return None };
    windows_dial(entry, session).or_else(|| message_id(query, session))
}

/// Windows tells by its code when it gave up; a capture of another stage is of another try.
fn windows_dial(entry: &Entry, session: &SessionReport) -> Option<String> {
    let dial = entry.dial?;
    let is_ppp = session.stage.starts_with("ppp-");
    let hides_ppp = session.kind.starts_with("ikev") && session.stage == "esp-data"
        || session.outcome == "established";
    let is_meant = session
        .cause
        .is_some_and(|code| entry.causes.iter().any(|cause| cause == code));
    let differs = match dial {
        // EAP in IKEv2 fails with the same codes.
        Dial::Ppp => !is_ppp && !hides_ppp && session.kind != "radius" && !is_meant,
        Dial::Tunnel => is_ppp,
    };
    differs.then(|| {
        format!(
            "Windows says {} {}, but this capture stops at {}: code and capture are of different attempts.",
            entry.code,
            match dial {
                Dial::Ppp => "only once PPP runs",
                Dial::Tunnel => "before PPP starts",
            },
            session.stage
        )
    })
}

/// strongSwan names the message that it repeats: 0 is `IKE_SA_INIT`, later ones follow only
/// an answer to it.
fn message_id(query: &str, session: &SessionReport) -> Option<String> {
    if session.kind != "ikev2" {
        return None;
    }
    let lower = query.to_ascii_lowercase();
    let (_, rest) = lower.split_once("message id ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let id: u32 = digits.parse().ok()?;
    let is_answered = session.ladder.iter().any(|rung| rung.from == "gateway");
    (id > 0 && !is_answered && !session.vantage.started_late).then(|| {
        format!(
            "The line speaks of message ID {id}, which follows an answer to IKE_SA_INIT; this capture holds no answer: line and capture are of different attempts."
        )
    })
}

/// After the causes were weighed: nothing that the entry can mean is left, or everything
/// works.
pub(super) fn nothing_left(
    entry: &Entry,
    found: &Match,
    sessions: &[&SessionReport],
) -> Option<String> {
    if entry.benign || entry.causes.is_empty() {
        return None;
    }
    let what = match entry.kind {
        EntryKind::Code => "code",
        EntryKind::LogLine => "line",
    };
    let meant = |code: &str| entry.causes.iter().any(|cause| cause == code);
    let all_out = found
        .causes
        .iter()
        .filter(|verdict| meant(&verdict.code))
        .all(|verdict| verdict.supported == Some(false));
    let works = sessions
        .iter()
        .all(|session| session.outcome == "established");
    // A login inside ESP of IKEv1 can fail unseen.
    let hides_ppp = sessions
        .iter()
        .any(|session| session.kind == "ikev1" && !session.counters.esp.is_empty());
    let none_seen = !found
        .causes
        .iter()
        .any(|verdict| meant(&verdict.code) && verdict.supported == Some(true));
    if works && none_seen && (all_out || !hides_ppp) {
        return Some(format!(
            "Every session of this capture came up, and the {what} tells of one that did not: they are of different attempts."
        ));
    }
    let session = sessions.first()?;
    let is_in_trouble = matches!(session.outcome, "failed" | "degraded");
    // Where both speak of the same stage, the line may have another cause than the usual ones.
    let is_elsewhere = session.stage != entry.stage;
    (all_out && is_in_trouble && is_elsewhere).then(|| {
        format!(
            "This capture stops at {} and excludes all that the {what} usually means: they are probably of different attempts.",
            session.stage
        )
    })
}

/// What a pasted line names: addresses, IKE SPIs and its time. They join it to one session,
/// or show that it is of another one.
#[derive(Debug, Default)]
pub(super) struct Named {
    addresses: Vec<IpAddr>,
    spis: Vec<String>,
    time: Option<Written>,
}

impl Named {
    /// How many of each are looked at.
    const KEPT: usize = 16;

    pub(super) fn find(query: &str) -> Self {
        let mut named = Self {
            time: Written::find(query),
            ..Self::default()
        };
        // A network (10.1.0.0/24) is no end of a connection.
        let networks: Vec<&str> = query
            .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | ',' | '='))
            .filter_map(|token| token.split_once('/').map(|(network, _)| network))
            .collect();
        let is_inside = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
        for token in query.split(|c: char| !is_inside(c)) {
            for part in token.split(':').filter(|part| part.len() == 16) {
                let is_spi =
                    part.chars().all(|c| c.is_ascii_hexdigit()) && part != "0000000000000000";
                if is_spi && named.spis.len() < Self::KEPT {
                    named.spis.push(part.to_ascii_lowercase());
                }
            }
            let bare = token.trim_matches(['.', ':']);
            let address = bare
                .parse::<std::net::SocketAddr>()
                .map(|at| at.ip())
                .or_else(|_| bare.parse());
            // `::` and the like are no address of anybody.
            if let Ok(address) = address
                && !address.is_unspecified()
                && !networks.contains(&bare)
                && bare.len() >= 7
                && named.addresses.len() < Self::KEPT
            {
                named.addresses.push(address);
            }
        }
        named
    }

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.spis.is_empty()
    }

    /// Whether a session has one of the SPIs, or, where none is named, one of the addresses.
    pub(super) fn fits(&self, session: &SessionReport) -> bool {
        if !self.spis.is_empty() {
            let filter: String = session
                .wireshark_filter
                .chars()
                .filter(char::is_ascii_hexdigit)
                .collect();
            return self.spis.iter().any(|spi| filter.contains(spi.as_str()));
        }
        let ends = [
            Some(session.client.ip.as_str()),
            session.gateway.as_ref().map(|gateway| gateway.ip.as_str()),
        ];
        self.addresses
            .iter()
            .any(|address| ends.contains(&Some(address.to_string().as_str())))
    }

    pub(super) fn missing(&self) -> String {
        let names: Vec<String> = if self.spis.is_empty() {
            self.addresses.iter().map(ToString::to_string).collect()
        } else {
            self.spis.clone()
        };
        format!(
            "The line names {}, which no session of this capture has: line and capture are of different attempts, or NAT stands between them.",
            names.join(", ")
        )
    }

    /// Why the time of the line and these sessions do not go together.
    pub(super) fn other_time(&self, sessions: &[&SessionReport]) -> Option<String> {
        let written = self.time.as_ref()?;
        let spans: Vec<(Timestamp, Timestamp)> = sessions
            .iter()
            .filter_map(|session| {
                Some((
                    Timestamp::parse(&session.first)?,
                    Timestamp::parse(&session.last)?,
                ))
            })
            .collect();
        let (first, last) = (
            spans.iter().map(|span| span.0).min()?,
            spans.iter().map(|span| span.1).max()?,
        );
        (!spans.iter().any(|span| written.fits(*span))).then(|| {
            format!(
                "The line is of {}, this capture of {} to {} UTC: they are of different attempts, or a clock is wrong.",
                written.text,
                seconds(first),
                seconds(last)
            )
        })
    }
}

/// Date and time to the second.
fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// The time at the head of a log line.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    /// As it stands there.
    text: String,
    /// Without a year: month, day and time within 1970.
    time: Timestamp,
    has_year: bool,
    /// Whether the line says how far its clock is from UTC.
    has_zone: bool,
}

impl Written {
    /// A slow log, and clocks that nobody sets.
    const SLACK: Span = Span::from_secs(300);
    /// Zones differ by multiples of this.
    const QUARTER: Span = Span::from_secs(900);
    /// The zones farthest from UTC, in quarters of an hour.
    const FARTHEST: i64 = 14 * 4;

    /// `2026-11-12T08:14:11+01:00`, `2026-11-12 08:14:11` or `Nov 12 08:14:11`.
    fn find(query: &str) -> Option<Self> {
        let head = query.trim_start_matches(|c: char| !c.is_alphanumeric());
        Self::iso(head).or_else(|| Self::syslog(head))
    }

    fn iso(head: &str) -> Option<Self> {
        let date = head.get(..10)?;
        let clock = head.get(11..19)?;
        let between = head.get(10..11)?;
        if !(between == "T" || between == " ") || !clock.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let time = Timestamp::parse(&format!("{date}T{clock}Z"))?;
        let rest = head.get(19..)?;
        let rest = rest.trim_start_matches(|c: char| c == '.' || c == ',' || c.is_ascii_digit());
        let offset = offset(rest);
        Some(Self {
            text: format!("{date} {clock}"),
            time: time + Span::from_secs(-offset.unwrap_or(0)),
            has_year: true,
            has_zone: offset.is_some(),
        })
    }

    fn syslog(head: &str) -> Option<Self> {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let mut words = head.split_whitespace();
        let (month, day, clock) = (words.next()?, words.next()?, words.next()?);
        let at = MONTHS
            .find(month)
            .filter(|at| month.len() == 3 && at % 3 == 0)?;
        let day: u8 = day.parse().ok()?;
        let number = at / 3 + 1;
        let clock = clock.get(..8)?;
        let time = Timestamp::parse(&format!("1970-{number:02}-{day:02}T{clock}Z"))?;
        Some(Self {
            text: format!("{month} {day} {clock}"),
            time,
            has_year: false,
            has_zone: false,
        })
    }

    /// Whether the line can have been written while the session ran.
    fn fits(&self, (first, last): (Timestamp, Timestamp)) -> bool {
        let times = if self.has_year {
            vec![self.time]
        } else {
            self.in_years_about(first)
        };
        let near = |time: Timestamp| {
            time - first >= Span(Self::SLACK.0.saturating_neg()) && time - last <= Self::SLACK
        };
        let zones = if self.has_zone { 0 } else { Self::FARTHEST };
        times.into_iter().any(|time| {
            (-zones..=zones)
                .any(|quarters| near(time + Span(Self::QUARTER.0.saturating_mul(quarters))))
        })
    }

    /// A time without a year, in that of `near` and its neighbours: a log of New Year's Eve.
    fn in_years_about(&self, near: Timestamp) -> Vec<Timestamp> {
        let (near, own) = (near.to_string(), self.time.to_string());
        let year: Option<i32> = near.get(..4).and_then(|year| year.parse().ok());
        let (Some(year), Some(rest)) = (year, own.get(4..19)) else {
            return vec![self.time];
        };
        (year.saturating_sub(1)..=year.saturating_add(1))
            .filter_map(|year| Timestamp::parse(&format!("{year:04}{rest}Z")))
            .collect()
    }
}

/// `Z`, `+01:00` or `-0500`, in seconds.
fn offset(text: &str) -> Option<i64> {
    if text.starts_with('Z') {
        return Some(0);
    }
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let digits: String = text
        .chars()
        .skip(1)
        .take_while(|c| c.is_ascii_digit() || *c == ':')
        .filter(char::is_ascii_digit)
        .take(4)
        .collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4)?.parse().ok()?;
    Some(sign * (hours * 3600 + minutes * 60))
}
