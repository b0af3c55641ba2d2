//! `--budget`: how much may be held at a time. What a budget gave up is counted in the report.

use clap::ValueEnum;

use crate::assemble::{Hints, ip};
use crate::decap::Encapsulation;
use crate::dissect::streams;
use crate::limits;
use crate::report::Evicted;
use crate::source::file::Limits;
use crate::track::{self, Session};
use crate::walk::Walk;

/// What has a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Sessions open at a time
    Sessions,
    /// Octets of these
    SessionOctets,
    /// Octets of those among them that are not packed, but for those of the last half second
    AwakeOctets,
    /// Sessions described in one text; all are counted
    Descriptions,
    /// ESP flows known at a time
    EspFlows,
    /// Octets of these
    EspOctets,
    /// Look-ups of names open at a time
    Lookups,
    /// Datagrams waiting for fragments
    Fragments,
    /// Octets of these
    FragmentOctets,
    /// TCP connections followed
    Connections,
    /// TCP connections that carried nothing yet
    Openings,
    /// Octets of TCP connections that wait to be read
    StreamOctets,
    /// DTLS associations
    Associations,
    /// Octets of incomplete DTLS messages
    DtlsOctets,
    /// IKE SAs that renew each other, of one session
    Sas,
    /// Certificates of one chain
    Certificates,
    /// Payloads, AVPs and options of one message that are shown
    Items,
    /// Encapsulations of one frame, 8 at most
    Nesting,
    /// Plain octets for one compressed octet of an input
    Ratio,
    /// Plain octets of a compressed input
    PlainOctets,
    /// Interfaces of a pcapng section
    Interfaces,
}

/// The budgets that the user set.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Budgets {
    /// How much may be held at a time, such as sessions=50000,stream-octets=64M
    #[arg(
        id = "budget",
        long = "budget",
        value_name = "WHAT=N",
        value_delimiter = ',',
        value_parser = parse,
        long_help = HELP
    )]
    set: Vec<(What, u64)>,
}

const HELP: &str = "How much may be held at a time: WHAT=N, several with commas. K, M and G \
    multiply. What is given up because of it is counted in the summary. WHAT is one of sessions, \
    session-octets, awake-octets, descriptions, esp-flows, esp-octets, lookups, fragments, fragment-octets, connections, \
    openings, stream-octets, associations, dtls-octets, sas, certificates, items, nesting, ratio, plain-octets, interfaces";

fn parse(text: &str) -> Result<(What, u64), String> {
    let (name, number) = text.split_once('=').ok_or("not WHAT=N")?;
    let what = What::from_str(name, false).map_err(|_| {
        let names: Vec<String> = What::value_variants()
            .iter()
            .filter_map(|what| Some(what.to_possible_value()?.get_name().to_string()))
            .collect();
        format!(
            "there is no budget of {name}; there are {}",
            names.join(", ")
        )
    })?;
    let (digits, times) = match number.char_indices().last() {
        Some((at, 'K' | 'k')) => (number.get(..at), 1 << 10),
        Some((at, 'M' | 'm')) => (number.get(..at), 1 << 20),
        Some((at, 'G' | 'g')) => (number.get(..at), 1 << 30),
        _ => (Some(number), 1),
    };
    digits
        .and_then(|digits| digits.parse::<u64>().ok()?.checked_mul(times))
        .filter(|number| *number > 0)
        .filter(|number| what != What::Nesting || *number <= Encapsulation::MAX as u64)
        .map(|number| (what, number))
        .ok_or_else(|| match what {
            What::Nesting => format!("{number} is not between 1 and {}", Encapsulation::MAX),
            _ => format!("{number} is no number above 0"),
        })
}

impl Budgets {
    /// Sessions described in one text: nobody reads more, and each is some kilobytes.
    const DESCRIPTIONS: usize = 10_000;

    fn get(&self, wanted: What) -> Option<u64> {
        let set = self.set.iter().rev();
        set.clone()
            .find(|(what, _)| *what == wanted)
            .map(|(_, number)| *number)
    }

    fn count(&self, what: What, or: usize) -> usize {
        self.get(what)
            .map_or(or, |number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Sets what everybody asks for.
    pub(super) fn set_limits(&self) {
        let limits = [
            (What::Sas, &limits::SAS),
            (What::Certificates, &limits::CERTIFICATES),
            (What::Items, &limits::ITEMS),
            (What::Nesting, &limits::NESTING),
        ];
        for (what, limit) in limits {
            limit.set(self.count(what, 0));
        }
    }

    /// Of sessions described.
    pub(super) fn descriptions(&self) -> usize {
        self.count(What::Descriptions, Self::DESCRIPTIONS)
    }

    /// Of the tracker.
    pub(super) fn track(&self) -> track::Config {
        let usual = track::Config::default();
        track::Config {
            sessions: self.count(What::Sessions, usual.sessions),
            session_octets: self.count(What::SessionOctets, usual.session_octets),
            awake_octets: self.count(What::AwakeOctets, usual.awake_octets),
            esp_flows: self.count(What::EspFlows, usual.esp_flows),
            esp_octets: self.count(What::EspOctets, usual.esp_octets),
            lookups: self.count(What::Lookups, usual.lookups),
            ..usual
        }
    }

    /// Of the reassembly of datagrams.
    pub(super) fn fragments(&self) -> ip::Config {
        let usual = ip::Config::default();
        ip::Config {
            datagrams: self.count(What::Fragments, usual.datagrams),
            octets: self.count(What::FragmentOctets, usual.octets),
            ..usual
        }
    }

    /// Of connections.
    pub(super) fn streams(&self, hints: Hints) -> streams::Config {
        let mut config = streams::Config {
            hints,
            ..streams::Config::default()
        };
        let (tcp, dtls) = (&mut config.tcp, &mut config.dtls);
        tcp.connections = self.count(What::Connections, tcp.connections);
        tcp.openings = self.count(What::Openings, tcp.openings);
        tcp.octets = self.count(What::StreamOctets, tcp.octets);
        dtls.associations = self.count(What::Associations, dtls.associations);
        dtls.octets = self.count(What::DtlsOctets, dtls.octets);
        config
    }

    /// Of what is read of a file.
    pub(super) fn file(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            ratio: self.get(What::Ratio).unwrap_or(usual.ratio),
            plain: self.get(What::PlainOctets).unwrap_or(usual.plain),
            interfaces: self.count(What::Interfaces, usual.interfaces),
            ahead: usual.ahead,
        }
    }

    /// A walk that has a part of what is held at a time.
    pub(super) fn share(&self, parts: usize, hints: Hints) -> Walk {
        let of = |most: usize| (most / parts.max(1)).max(1);
        let (mut track, mut fragments) = (self.track(), self.fragments());
        let mut streams = self.streams(hints);
        track.session_octets = of(track.session_octets);
        track.esp_octets = of(track.esp_octets);
        fragments.octets = of(fragments.octets);
        streams.tcp.openings = of(streams.tcp.openings);
        streams.tcp.octets = of(streams.tcp.octets);
        streams.dtls.octets = of(streams.dtls.octets);
        Walk::with(fragments, streams, track)
    }

    /// A walk within these budgets, with sessions numbered on from `numbered_from`.
    pub(super) fn walk(&self, numbered_from: u32, hints: Hints) -> Walk {
        let track = track::Config {
            numbered_from,
            ..self.track()
        };
        Walk::with(self.fragments(), self.streams(hints), track)
    }

    /// The same where every event is given with the frame that it is in.
    pub(super) fn walk_in_file_order(&self, numbered_from: u32, hints: Hints) -> Walk {
        let track = track::Config {
            numbered_from,
            ..self.track()
        };
        let streams = streams::Config {
            waits: false,
            ..self.streams(hints)
        };
        Walk::with(self.fragments(), streams, track)
    }
}

/// Adds what a walk gave up.
pub(super) fn given_up(evicted: &mut Evicted, walk: &Walk) {
    let tracked = walk.track_counters();
    evicted.sessions += tracked.evicted_sessions;
    evicted.fragments += walk.evicted_fragments();
    evicted.streams += walk.evicted_streams();
    evicted.esp_flows += tracked.evicted_esp;
    evicted.sas += tracked.evicted_sas;
    evicted.lookups += tracked.evicted_lookups;
}

/// Certificates of a session that were not read for lack of room.
pub(super) fn certificates_left_out(session: &Session) -> u64 {
    let facts = session.tls();
    let connections = facts.into_iter().flat_map(|facts| &facts.connections);
    let associations = facts.into_iter().flat_map(|facts| &facts.associations);
    let chains = connections
        .map(|connection| &connection.chains)
        .chain(associations.map(|association| &association.chains));
    let chains = chains.flat_map(|chains| [&chains.client, &chains.gateway]);
    let left_out = chains.flatten().map(|chain| chain.left_out() as u64);
    left_out.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_name_and_a_number() {
        assert_eq!(parse("sessions=7"), Ok((What::Sessions, 7)));
        assert_eq!(parse("stream-octets=2M"), Ok((What::StreamOctets, 2 << 20)));
        assert_eq!(parse("ratio=1k"), Ok((What::Ratio, 1024)));
        for bad in [
            "sessions",
            "sessions=",
            "sessions=0",
            "sessions=-1",
            "beer=1",
            "ratio=1T",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let error = parse("beer=1").unwrap_err();
        assert!(error.contains("dtls-octets"), "{error}");
    }

    #[test]
    fn the_help_names_every_budget() {
        for what in What::value_variants() {
            let name = what.to_possible_value().unwrap().get_name().to_string();
            assert!(HELP.split([' ', ',']).any(|word| word == name), "{name}");
        }
    }

    #[test]
    fn the_last_one_counts() {
        let budgets = Budgets {
            set: vec![(What::Sessions, 7), (What::Ratio, 3), (What::Sessions, 9)],
        };
        assert_eq!(budgets.track().sessions, 9);
        assert_eq!(budgets.file().ratio, 3);
        assert_eq!(budgets.track().lookups, track::Config::default().lookups);
    }
}
