//! Interfaces that go down, vanish and come back.

use std::time::{Duration, Instant};

use super::{LATE, LiveSource, Poll, interfaces, wall_clock};
use crate::time::Span;

/// An interface, as it is watched.
pub(super) struct Watched {
    pub(super) name: String,
    /// Down at the last look, though open.
    pub(super) is_down: bool,
    /// Rings of it that are lost.
    pub(super) lost: usize,
}

/// Time between two looks whether an interface is up.
const LOOK: Duration = Duration::from_secs(1);
impl LiveSource {
    /// What is due now and then.
    pub(super) fn look_around(&mut self, now: Instant) -> Option<Poll<'static>> {
        self.reopen(now).or_else(|| self.look_whether_up(now))
    }

    /// Takes note that a ring is lost. It is news for the first of an interface.
    pub(super) fn lost(&mut self, number: usize, why: String) -> Option<Poll<'static>> {
        let watched = self.interfaces.get_mut(number)?;
        watched.lost += 1;
        let is_news = watched.lost == 1 && !watched.is_down;
        let interface = u32::try_from(number).unwrap_or(u32::MAX);
        if is_news {
            self.statistics.blind_from(wall_clock() - LATE);
        }
        is_news.then_some(Poll::Lost { interface, why })
    }

    /// Takes note that a ring is back. It is news for the last of an interface.
    pub(super) fn returned(&mut self, number: usize) -> Option<Poll<'static>> {
        let watched = self.interfaces.get_mut(number)?;
        watched.lost = watched.lost.saturating_sub(1);
        watched.is_down = false;
        let is_news = watched.lost == 0;
        let all_see = self
            .interfaces
            .iter()
            .all(|watched| watched.lost == 0 && !watched.is_down);
        if all_see {
            self.statistics.blind_to(wall_clock());
        }
        let lanes = self.lanes.iter().filter(|lane| lane.interface == number);
        for lane in lanes {
            if !self.statistics.link_types.contains(&lane.link) {
                self.statistics.link_types.push(lane.link);
            }
        }
        let interface = u32::try_from(number).unwrap_or(u32::MAX);
        is_news.then_some(Poll::Returned { interface })
    }

    /// libpcap says nothing when an interface goes down; it goes on when it is up again. So
    /// somebody has to look, now and then.
    fn look_whether_up(&mut self, now: Instant) -> Option<Poll<'static>> {
        if now < self.look {
            return None;
        }
        let all = interfaces().unwrap_or_default();
        for number in 0..self.interfaces.len() {
            let watched = self.interfaces.get_mut(number)?;
            let listed = all.iter().find(|interface| interface.name == watched.name);
            let is_down = listed.is_some_and(|interface| !interface.up);
            if watched.lost > 0 || is_down == watched.is_down {
                continue;
            }
            watched.is_down = is_down;
            if !is_down {
                return self.returned(number);
            }
            let since = i64::try_from(LOOK.as_millis()).unwrap_or(0);
            self.statistics
                .blind_from(wall_clock() - LATE - Span::from_millis(since));
            return Some(Poll::Lost {
                interface: u32::try_from(number).unwrap_or(u32::MAX),
                why: "it is down".into(),
            });
        }
        self.look = now + LOOK;
        None
    }

    /// Opens a lost interface again, where its ring is read here.
    fn reopen(&mut self, now: Instant) -> Option<Poll<'static>> {
        for at in 0..self.lanes.len() {
            let lane = self.lanes.get_mut(at)?;
            if lane.reopen(&self.options, now) {
                lane.is_lost = false;
                let number = lane.interface;
                return self.returned(number);
            }
        }
        None
    }
}
