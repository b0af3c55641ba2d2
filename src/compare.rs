//! Lays captures of the same event from different points side by side.
//!
//! Each capture is walked and diagnosed by itself; beside that every datagram is recorded by
//! what address translation leaves alone ([`record`]). Datagrams are then found again at the
//! other points and the clocks compared ([`matching`]), sessions that share datagrams are put
//! together ([`group`]), and what was lost, changed or delayed between the points decides
//! what one capture alone could not ([`judge`]).

use std::cell::Cell;
use std::rc::Rc;

use crate::assemble::ip;
use crate::desk::{Desk, Filed};
use crate::source::{Frame, Statistics};
use crate::track::{self, Change};
use crate::walk::Walk;

pub mod group;
pub mod judge;
pub mod matching;
pub mod record;

use group::Group;
use judge::Judgement;
use matching::Matches;
use record::{Recorder, Recording};

/// What may be held of some points together until they are compared.
#[derive(Debug)]
pub struct Room {
    /// Octets of sessions.
    sessions: Cell<usize>,
    /// Datagrams.
    records: Cell<usize>,
}

impl Room {
    /// Octets of sessions that are held of all points.
    const SESSIONS: usize = 96 << 20;
    /// Datagrams that are held of all points.
    const RECORDS: usize = 800_000;

    /// The share of one of so many points.
    pub fn share(points: usize) -> Rc<Self> {
        let points = points.max(1);
        Rc::new(Self {
            sessions: Cell::new(Self::SESSIONS / points),
            records: Cell::new(Self::RECORDS / points),
        })
    }

    /// Takes room for a session; `false` where there is none left.
    fn take_session(&self, octets: usize) -> bool {
        let left = self.sessions.get();
        self.sessions.set(left.saturating_sub(octets));
        left > 0
    }

    /// Takes room for a datagram; `false` where there is none left.
    pub(crate) fn take_record(&self) -> bool {
        let left = self.records.get();
        self.records.set(left.saturating_sub(1));
        left > 0
    }
}

/// One point, while its frames come in.
#[derive(Debug)]
pub struct Watcher {
    name: String,
    walk: Walk,
    recorder: Recorder,
    desk: Desk,
    filed: Vec<Filed>,
    room: Rc<Room>,
    left_out: u64,
}

impl Watcher {
    /// What a verdict takes, about.
    const VERDICT: usize = 2048;

    /// A point with a name, and the gateway that the user named.
    pub fn new(name: String, gateway: Option<std::net::IpAddr>) -> Self {
        let walk = Walk::new(ip::Config::default(), track::Config::default());
        Self::with(name, gateway, walk, Room::share(2))
    }

    /// The same with a walk of its own budgets, and room that it may share with others.
    pub fn with(
        name: String,
        gateway: Option<std::net::IpAddr>,
        walk: Walk,
        room: Rc<Room>,
    ) -> Self {
        Self {
            name,
            walk,
            recorder: Recorder::within(room.clone()),
            desk: Desk::new(gateway),
            filed: Vec::new(),
            room,
            left_out: 0,
        }
    }

    /// Takes a frame; its capture is the number of the point.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        self.recorder.frame(frame);
        self.walk.frame(frame);
        while let Some(Change::Closed(session)) = self.walk.poll() {
            let filed = self.desk.close(session);
            self.keep(filed);
        }
    }

    /// Holds a session for the comparison, where there is room.
    fn keep(&mut self, filed: Filed) {
        let octets = filed.session.octets() + Self::VERDICT;
        if !self.room.take_session(octets) {
            self.left_out += 1;
            return;
        }
        self.filed.push(filed);
    }

    /// Ends the watch.
    pub fn finish(mut self, statistics: Statistics) -> Point {
        self.desk.capture_ended(&statistics);
        let desk = &mut self.desk;
        self.walk.finish_shown(&mut |ended| desk.learn(&ended));
        while let Some(session) = self.walk.next_closed() {
            let filed = self.desk.judge(session);
            self.keep(filed);
        }
        self.filed.sort_by_key(|filed| filed.session.id);
        Point {
            name: self.name,
            copies: self.walk.track_counters().copies,
            undecodable: self.walk.counters().undecodable,
            recording: self.recorder.finish(),
            filed: self.filed,
            left_out: self.left_out,
            statistics,
        }
    }
}

/// One point, with all that it saw.
#[derive(Debug)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Datagrams.
    pub recording: Recording,
    /// Sessions with their verdicts, from this capture alone.
    pub filed: Vec<Filed>,
    /// Sessions beyond those that are held: they are not compared.
    pub left_out: u64,
    /// The capture.
    pub statistics: Statistics,
    /// Copies made by a span port.
    pub copies: u64,
    /// Frames that could not be read to their end.
    pub undecodable: u64,
}

/// Everything that the points show together.
#[derive(Debug)]
pub struct Comparison {
    /// The points in the order in which they were given.
    pub points: Vec<Point>,
    /// Which datagrams are the same, and the clocks.
    pub matches: Matches,
    /// Sessions in the order of their first message, with the verdict from all points.
    pub sessions: Vec<(Group, Judgement)>,
}

/// Compares points. At most as many as a capture number can count.
pub fn compare(points: Vec<Point>) -> Comparison {
    let recordings: Vec<&Recording> = points.iter().map(|p| &p.recording).collect();
    let matches = matching::solve(&recordings);
    let sessions = group::groups(&points, &matches)
        .into_iter()
        .map(|group| {
            let judgement = judge::judge(&points, &matches, &group);
            (group, judgement)
        })
        .collect();
    Comparison {
        points,
        matches,
        sessions,
    }
}
