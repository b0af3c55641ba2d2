//! The session that a look-up is which came to nothing.

use std::net::IpAddr;

use super::{Look, Query};
use crate::decap::Flow;
use crate::track::Stamp;
use crate::track::session::{Detail, Endpoint, Kind, Session, Side, Step};

pub(super) fn session(look: Look, client: Endpoint, first: Query) -> Session {
    let gateway = Endpoint {
        ip: first.server,
        port: 53,
    };
    let name = look.name.clone();
    let mut steps: Vec<Step> = Vec::new();
    let mut last = first.at;
    for query in &look.queries {
        let text = format!("DNS query {} {}", query.record_type, name);
        let repeats = steps
            .iter_mut()
            .find(|step| step.message == text && step.flow.destination.0 == query.server);
        last = last.max(query.at);
        match repeats {
            Some(step) => step.repeats.note(query.at),
            None => steps.push(step(query.at, Side::Client, text, client, query.server)),
        }
    }
    for answer in &look.answers {
        let text = format!("DNS answer {}", answer.code);
        last = last.max(answer.at);
        steps.push(step(answer.at, Side::Gateway, text, client, answer.server));
    }
    steps.sort_by_key(|step| step.at);
    let frames = look.queries.len() + look.answers.len();
    let mut session = Session::empty(
        Kind::Dns,
        client,
        gateway,
        first.at,
        Detail::Dns(Box::new(look)),
    );
    session.last = last;
    session.frames = u64::try_from(frames).unwrap_or(u64::MAX);
    session.gateway_name = Some(name);
    session.steps = steps;
    let answers = session
        .steps
        .iter()
        .filter(|step| step.from == Side::Gateway);
    session.vantage.frames.gateway = answers.count() as u64;
    session.vantage.frames.client = session.frames - session.vantage.frames.gateway;
    session
}

fn step(at: Stamp, from: Side, message: String, client: Endpoint, server: IpAddr) -> Step {
    let flow = Flow {
        source: (client.ip, client.port),
        destination: (server, 53),
    };
    let flow = if from == Side::Client {
        flow
    } else {
        flow.reversed()
    };
    Step::bare(at, from, message, flow)
}
