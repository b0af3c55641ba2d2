//! Lays the ESP of both ends side by side, once a session is over: who fell silent, and which
//! sizes were answered.
//!
//! Done from the first and last packets of each flow, so that a packet costs no more than its
//! own counters while it passes.

use super::esp::{EspFlow, Logged};
use super::path::{Sizes, USUAL_MTU};
use super::session::{EspRun, PerSide, Session, Side};
use crate::time::{Span, Timestamp};

/// Takes what the flows of a session teach.
pub(super) fn lay(session: &mut Session, flows: &[EspFlow], now: Timestamp) {
    for flow in flows {
        let seen = flow.packets + flow.copies;
        session.frames += seen + flow.fragmented;
        *session.vantage.frames.of_mut(flow.from) += seen;
        session.vantage.copies += flow.copies;
        if flow.last.time > session.last.time {
            session.last = flow.last;
        }
        let path = session.path.of_mut(flow.from);
        path.largest = path.largest.max(flow.largest_ip);
        path.offloaded += u32::try_from(flow.offloaded).unwrap_or(u32::MAX);
        path.fragmented += u32::try_from(flow.fragmented).unwrap_or(u32::MAX);
    }
    let mut first: Vec<(Side, Logged)> = Vec::new();
    let mut last: Vec<(Side, Logged)> = Vec::new();
    for flow in flows {
        first.extend(flow.log.first().iter().map(|packet| (flow.from, *packet)));
        last.extend(flow.log.last().map(|packet| (flow.from, *packet)));
    }
    if first.is_empty() {
        return;
    }
    first.sort_by_key(|(_, packet)| packet.at.time);
    last.sort_by_key(|(_, packet)| packet.at.time);
    let mut layout = Layout::default();
    for (side, packet) in first {
        layout.packet(side, &packet);
    }
    if !last.is_empty() {
        layout.skip();
    }
    for (side, packet) in last {
        layout.packet(side, &packet);
    }
    layout.give(session, now);
}

#[derive(Debug, Default)]
struct Layout {
    run: Option<EspRun>,
    pace: PerSide<Span>,
    sizes: PerSide<Option<Box<Sizes>>>,
}

impl Layout {
    fn packet(&mut self, side: Side, packet: &Logged) {
        self.run(side, packet);
        if let Some(sizes) = self.sizes.of_mut(side.other()) {
            sizes.answer(packet.at.time);
        }
        if packet.ip_len <= USUAL_MTU || packet.fragmented {
            let sizes = self.sizes.of_mut(side).get_or_insert_default();
            sizes.packet(packet);
        }
    }

    fn run(&mut self, side: Side, packet: &Logged) {
        match &mut self.run {
            Some(run) if run.from == side => {
                run.packets += 1;
                run.last = packet.at;
            }
            other => {
                if let Some(run) = other {
                    let pace = self.pace.of_mut(run.from);
                    *pace = (*pace).max(packet.at.time - run.since.time);
                }
                *other = Some(EspRun {
                    from: side,
                    packets: 1,
                    since: packet.at,
                    last: packet.at,
                });
            }
        }
    }

    fn skip(&mut self) {
        self.run = None;
        for side in [Side::Client, Side::Gateway] {
            if let Some(sizes) = self.sizes.of_mut(side) {
                sizes.skip();
            }
        }
    }

    fn give(self, session: &mut Session, now: Timestamp) {
        session.esp_run = self.run;
        session.esp_pace = self.pace;
        session.path.client.esp = self.sizes.client;
        session.path.gateway.esp = self.sizes.gateway;
        session.end_sizes(now);
    }
}
