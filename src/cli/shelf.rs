//! Descriptions of sessions on their way into one document, without holding them all.
//!
//! JSON is held as octets up to a budget; beyond it the document is begun, and what follows is
//! written as it comes. Text folds attempts that are alike, so of all but one of them only the
//! number is held; a text longer than anybody reads is cut, with those in trouble kept.

use std::collections::HashMap;
use std::io::Write;

use super::Format;
use crate::render::json;
use crate::render::text::{self, Alike};
use crate::report::{Report, SessionReport};

/// Octets of JSON that are held.
const OCTETS: usize = 64 << 20;

/// Attempts that are folded, for each that is described, on average.
const FOLDED: usize = 4;

/// What waits for the end of the document.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// JSON by session number, not written yet.
    waiting: Vec<(u32, Box<[u8]>)>,
    octets: usize,
    /// Descriptions that were written already.
    written: u64,
    /// For the text.
    sessions: Vec<SessionReport>,
    /// Of those alike, the place of the one that is described, and whether others are folded
    /// into it.
    alike: HashMap<Alike, (usize, bool)>,
    /// How many of `sessions` are described rather than folded.
    described: usize,
    /// Before this place, all that are described are in trouble.
    untroubled: usize,
}

fn is_trouble(report: &SessionReport) -> bool {
    matches!(report.outcome, "failed" | "degraded")
}

impl Shelf {
    /// Adds a session for a text of at most `most` descriptions; `false` where it is left out.
    pub(super) fn keep(&mut self, mut report: SessionReport, most: usize) -> bool {
        let key = text::alike(&report);
        let held = self.sessions.len();
        if let Some((place, folded)) = self.alike.get_mut(&key)
            && let Some(known) = self.sessions.get_mut(*place)
        {
            // The first attempt is the one that is shown.
            if report.id < known.id {
                std::mem::swap(known, &mut report);
            }
            if held < most.saturating_mul(FOLDED) {
                *folded = true;
                fold(&mut report);
                self.sessions.push(report);
                return true;
            }
            return false;
        }
        if self.described < most {
            self.described += 1;
            self.alike.insert(key, (held, false));
            self.sessions.push(report);
            return true;
        }
        is_trouble(&report) && self.replace(key, report)
    }

    /// Puts a session in trouble where one stands that is none; `false` where none does.
    fn replace(&mut self, key: Alike, report: SessionReport) -> bool {
        while let Some(place) = self.sessions.get_mut(self.untroubled) {
            let at = self.untroubled;
            self.untroubled += 1;
            let known = text::alike(place);
            if !is_trouble(place) && self.alike.get(&known) == Some(&(at, false)) {
                *place = report;
                self.alike.remove(&known);
                self.alike.insert(key, (at, false));
                return true;
            }
        }
        false
    }

    /// Adds a session for JSON. Beyond the budget the document is begun.
    pub(super) fn write(
        &mut self,
        report: &SessionReport,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let octets = json::to_vec(report)?.into_boxed_slice();
        self.octets += octets.len() + size_of::<(u32, Box<[u8]>)>();
        self.waiting.push((report.id, octets));
        if self.octets > OCTETS {
            self.hand_on(out)?;
        }
        Ok(())
    }

    fn hand_on(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        self.waiting.sort_by_key(|(id, _)| *id);
        for (_, octets) in self.waiting.drain(..) {
            let begin: &[u8] = if self.written == 0 {
                b"{\"schema\":\"vpnscope.report/1\",\"sessions\":["
            } else {
                b","
            };
            out.write_all(begin)?;
            out.write_all(&octets)?;
            self.written += 1;
        }
        // Nothing is held from now on.
        self.octets = OCTETS;
        Ok(())
    }

    /// Writes the document; `report` is all of it but the sessions.
    pub(super) fn finish(
        mut self,
        mut report: Report,
        format: Format,
        style: text::Style,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        if format == Format::Text {
            self.sessions.sort_by_key(|session| session.id);
            report.sessions = self.sessions;
            return Ok(text::report(out, &report, style)?);
        }
        let begun = self.written > 0;
        if begun {
            self.hand_on(out)?;
            out.write_all(b"]")?;
        }
        self.waiting.sort_by_key(|(id, _)| *id);
        // The sessions are octets already; the other fields follow in their order.
        let serde_json::Value::Object(fields) = serde_json::to_value(&report)? else {
            return Ok(());
        };
        let mut lead: &[u8] = if begun { b"," } else { b"{" };
        for (name, value) in &fields {
            if begun && matches!(name.as_str(), "schema" | "sessions") {
                continue;
            }
            out.write_all(lead)?;
            lead = b",";
            json::to_writer(&mut *out, name)?;
            out.write_all(b":")?;
            if name == "sessions" {
                self.list(out)?;
            } else {
                json::to_writer(&mut *out, value)?;
            }
        }
        out.write_all(b"}\n")?;
        Ok(())
    }

    fn list(&self, out: &mut impl Write) -> anyhow::Result<()> {
        out.write_all(b"[")?;
        for (number, (_, octets)) in self.waiting.iter().enumerate() {
            if number > 0 {
                out.write_all(b",")?;
            }
            out.write_all(octets)?;
        }
        out.write_all(b"]")?;
        Ok(())
    }
}

/// Leaves of an attempt that is folded what the line of the other attempts names.
fn fold(report: &mut SessionReport) {
    report.findings = Vec::new();
    report.offered = serde_json::Value::Null;
    report.negotiated = serde_json::Value::Null;
    report.counters.esp = Vec::new();
    report.wireshark_filter = String::new();
    report.ladder.truncate(1);
    report.ladder.shrink_to_fit();
    report.vantage.notes = Vec::new();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::Desk;
    use crate::report;
    use crate::time::Timestamp;
    use crate::track::session::{Detail, Endpoint, Kind, Session, Stamp};

    fn described(id: u32, client: u8) -> SessionReport {
        let end = |host| Endpoint {
            ip: [192, 0, 2, host].into(),
            port: 4500,
        };
        let at = Stamp::new(0, u64::from(id), Timestamp(0));
        let mut session = Session::empty(Kind::Esp, end(client), end(1), at, Detail::Esp);
        session.id = id;
        let filed = Desk::default().close(Box::new(session));
        report::session(id, &filed.session, &filed.verdict)
    }

    fn empty() -> Report {
        Report {
            schema: report::SCHEMA,
            captures: Vec::new(),
            sessions: Vec::new(),
            summary: report::Summary::default(),
            expected: Vec::new(),
            hints: Vec::new(),
        }
    }

    fn finished(shelf: Shelf, format: Format, mut out: Vec<u8>) -> Vec<u8> {
        let style = text::Style { colour: false };
        shelf.finish(empty(), format, style, &mut out).unwrap();
        out
    }

    #[test]
    fn the_document_is_the_same_as_in_one_piece() {
        let mut whole = empty();
        let (mut shelf, mut out) = (Shelf::default(), Vec::new());
        for id in [2, 1, 3] {
            shelf.write(&described(id, 2), &mut out).unwrap();
        }
        assert!(out.is_empty());
        whole.sessions = (1..4).map(|id| described(id, 2)).collect();
        let mut wanted = serde_json::to_vec(&whole).unwrap();
        wanted.push(b'\n');
        let out = finished(shelf, Format::Json, out);
        assert_eq!(String::from_utf8(out), String::from_utf8(wanted));
    }

    #[test]
    fn what_is_too_much_to_hold_is_written_as_it_comes() {
        let (mut shelf, mut out) = (Shelf::default(), Vec::new());
        shelf.octets = OCTETS;
        for id in [2, 1, 3] {
            shelf.write(&described(id, 2), &mut out).unwrap();
            assert!(shelf.waiting.is_empty() && !out.is_empty());
        }
        let out = finished(shelf, Format::Json, out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let ids: Vec<u64> = value["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|session| session["id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids, [2, 1, 3]);
        for name in ["schema", "captures", "summary"] {
            assert!(!value[name].is_null(), "{name}");
        }
    }

    #[test]
    fn a_text_is_cut_where_nobody_reads_on() {
        let mut shelf = Shelf::default();
        let kept: Vec<bool> = (1..=6)
            .map(|id| shelf.keep(described(id, u8::try_from(id).unwrap()), 3))
            .collect();
        assert_eq!(kept, [true, true, true, false, false, false]);
        // Those alike are folded, and the first of them is shown.
        assert!(shelf.keep(described(9, 3), 3));
        assert!(shelf.keep(described(0, 3), 3));
        let text = String::from_utf8(finished(shelf, Format::Text, Vec::new())).unwrap();
        assert!(
            text.contains("3 attempts, all alike; shown: session 0"),
            "{text}"
        );
    }
}
