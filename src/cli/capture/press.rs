//! What a capture says, as soon as it knows it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::Serialize;

use super::super::Format;
use super::super::output::{self, Out};
use crate::desk::Filed;
use crate::diagnose::Verdict;
use crate::dissect::others::Counts;
use crate::render::escape::harmless;
use crate::render::json;
use crate::render::text;
use crate::report::{self, CaptureReport, Evicted, Report, SessionReport, Summary};

/// What was said of a session that goes on.
#[derive(Debug)]
struct Said {
    revision: u32,
    gist: Gist,
}

/// What makes a verdict worth saying again: outcome, stage, findings with their confidence.
type Gist = (
    &'static str,
    &'static str,
    Vec<(&'static str, &'static str)>,
);

fn gist(verdict: &Verdict) -> Gist {
    let findings = verdict.findings.iter();
    (
        verdict.outcome.word(),
        verdict.stage.word(),
        findings
            .map(|finding| (finding.cause.code, finding.confidence.word()))
            .collect(),
    )
}

#[derive(Serialize)]
struct SessionLine<'a> {
    r#type: &'static str,
    revision: u32,
    r#final: bool,
    #[serde(flatten)]
    session: &'a SessionReport,
}

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    r#type: &'static str,
    #[serde(flatten)]
    what: &'a T,
}

/// Where sessions go.
pub(super) struct Press {
    out: Out,
    format: Format,
    style: text::Style,
    counts_only: bool,
    said: BTreeMap<u32, Said>,
    /// Open sessions that seem to fail.
    troubled: BTreeSet<u32>,
    /// Closed ones that did.
    failed: usize,
    summary: Summary,
    printed: u64,
}

impl Press {
    pub(super) fn new(out: Out, format: Format, colour: bool, counts_only: bool) -> Self {
        Self {
            out,
            format,
            style: text::Style { colour },
            counts_only,
            said: BTreeMap::new(),
            troubled: BTreeSet::new(),
            failed: 0,
            summary: Summary::default(),
            printed: 0,
        }
    }

    /// How many sessions failed or are degraded, as far as one can say.
    pub(super) fn troubled(&self) -> usize {
        self.troubled.len() + self.failed
    }

    /// How many sessions are over.
    pub(super) fn closed(&self) -> u64 {
        self.summary.sessions
    }

    /// Whether something was said of a session that goes on.
    pub(super) fn has_said(&self, id: u32) -> bool {
        self.said.contains_key(&id)
    }

    /// Counts a session of TLS that carries SSTP.
    pub(super) fn sstp(&mut self, is_sstp: bool) {
        self.summary.other_vpns.sstp += u64::from(is_sstp);
    }

    /// A session of TLS is over that nothing marks as a VPN's.
    pub(super) const fn not_reported(&mut self) {
        self.summary.tls_not_reported += 1;
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    /// A session that goes on; said if there is something new to say.
    pub(super) fn grown(&mut self, filed: &Filed) -> anyhow::Result<()> {
        let id = filed.session.id;
        if filed.is_trouble() {
            self.troubled.insert(id);
        } else {
            self.troubled.remove(&id);
        }
        let gist = gist(&filed.verdict);
        let known = self.said.get(&id);
        if known.is_some_and(|said| said.gist == gist) {
            return Ok(());
        }
        let revision = known.map_or(1, |said| said.revision + 1);
        // For people, a session that only began is no news.
        let is_news = filed.is_trouble() || known.is_some_and(|said| said.gist.0 != gist.0);
        self.said.insert(id, Said { revision, gist });
        match self.format {
            Format::Text if is_news => self.session(filed, revision, false),
            Format::Ndjson => self.session(filed, revision, false),
            Format::Text | Format::Json => Ok(()),
        }
    }

    /// A session that is over.
    pub(super) fn closed_session(&mut self, filed: &Filed) -> anyhow::Result<()> {
        let id = filed.session.id;
        self.summary
            .count(filed.session.kind.word(), &filed.verdict);
        self.troubled.remove(&id);
        self.failed += usize::from(filed.is_trouble());
        let known = self.said.remove(&id);
        let said_before = filed.is_trouble()
            && known
                .as_ref()
                .is_some_and(|said| said.gist == gist(&filed.verdict));
        if self.format == Format::Text && said_before {
            return Ok(());
        }
        self.session(filed, known.map_or(1, |said| said.revision + 1), true)
    }

    fn session(&mut self, filed: &Filed, revision: u32, is_final: bool) -> anyhow::Result<()> {
        if self.counts_only {
            return Ok(());
        }
        let session = report::session(filed.session.id, &filed.session, &filed.verdict);
        match self.format {
            Format::Text => {
                let report = Report {
                    schema: report::SCHEMA,
                    captures: Vec::new(),
                    sessions: vec![session],
                    summary: Summary::default(),
                    expected: Vec::new(),
                    hints: Vec::new(),
                };
                text::one(&mut self.out, &report, self.style)?;
            }
            Format::Ndjson => {
                let line = SessionLine {
                    r#type: "session",
                    revision,
                    r#final: is_final,
                    session: &session,
                };
                json::to_writer(&mut self.out, &line)?;
                self.out.write_all(b"\n")?;
            }
            Format::Json => {
                // One document, without holding it all until the end.
                let begin: &[u8] = if self.printed == 0 {
                    b"{\"schema\":\"vpnscope.report/1\",\"sessions\":["
                } else {
                    b",\n"
                };
                self.out.write_all(begin)?;
                json::to_writer(&mut self.out, &session)?;
            }
        }
        self.printed += 1;
        Ok(())
    }

    /// The end: the capture and the counts. `in_words` is for people, instead of the filter.
    pub(super) fn finish(
        mut self,
        capture: CaptureReport,
        evicted: Evicted,
        others: Counts,
        in_words: Option<&str>,
    ) -> anyhow::Result<()> {
        self.summary.evicted = evicted;
        self.summary.other_vpns.add(others);
        let report = Report {
            schema: report::SCHEMA,
            captures: vec![capture],
            sessions: Vec::new(),
            summary: self.summary,
            expected: Vec::new(),
            hints: Vec::new(),
        };
        match self.format {
            Format::Text => {
                for capture in &report.captures {
                    let filter = capture.filter.as_deref().unwrap_or("none");
                    let lead = format!("{}: capture filter: ", harmless(&capture.file));
                    text::wrapped(&mut self.out, &lead, in_words.unwrap_or(filter))?;
                }
                text::end(&mut self.out, &report, self.style)?;
            }
            Format::Json if self.printed == 0 => {
                json::to_writer(&mut self.out, &report)?;
                self.out.write_all(b"\n")?;
            }
            Format::Json => {
                self.out.write_all(b"],\"captures\":")?;
                json::to_writer(&mut self.out, &report.captures)?;
                self.out.write_all(b",\"summary\":")?;
                json::to_writer(&mut self.out, &report.summary)?;
                self.out.write_all(b"}\n")?;
            }
            Format::Ndjson => {
                for capture in &report.captures {
                    let line = Line {
                        r#type: "capture",
                        what: capture,
                    };
                    json::to_writer(&mut self.out, &line)?;
                    self.out.write_all(b"\n")?;
                }
                let line = Line {
                    r#type: "summary",
                    what: &report.summary,
                };
                json::to_writer(&mut self.out, &line)?;
                self.out.write_all(b"\n")?;
            }
        }
        output::close(self.out)?;
        Ok(())
    }
}
