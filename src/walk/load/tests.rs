use std::path::Path;

use super::*;
use crate::assemble::ip;
use crate::source::FrameSource;
use crate::source::file;
use crate::walk::Front;

/// An event as it can be compared.
fn written(event: &Event<'_>) -> String {
    match &event.what {
        // A load hands over the message, and not all that it travelled with.
        What::Dns(message) => looked_up(&DnsSight::from(event.envelope), message),
        _ => format!("{event:?}"),
    }
}

fn looked_up(sight: &DnsSight, message: &dns::Message<'_>) -> String {
    format!("{sight:?} {message:?}")
}

#[derive(Default)]
struct Heard {
    all: Vec<String>,
    foreseen: usize,
    of_esp: usize,
}

impl Taker for Heard {
    fn foresee(&mut self, sights: &[EspSight<'_>]) {
        self.foreseen += sights.len();
    }

    fn esp(&mut self, sight: &EspSight<'_>, whole: &Whole<'_>) {
        self.of_esp += 1;
        whole.event(&mut |event: &Event<'_>| {
            if let What::Esp {
                spi, sequence, len, ..
            } = event.what
            {
                let told = (sight.spi, sight.sequence, sight.len);
                assert_eq!((spi, sequence, len), told);
                let (from, to) = (sight.addresses.source(), sight.addresses.destination());
                let flow = event.envelope.flow();
                assert_eq!(
                    (flow.source, flow.destination),
                    ((from, sight.ports.0), (to, sight.ports.1))
                );
                assert_eq!(event.envelope.ip_len, sight.ip_len);
                assert_eq!(Stamp::from(event.envelope), sight.at);
            }
            self.all.push(written(event));
        });
    }

    fn dns(&mut self, sight: &DnsSight, message: &dns::Message<'_>) {
        self.all.push(looked_up(sight, message));
    }

    fn event(&mut self, event: &Event<'_>) {
        self.all.push(written(event));
    }

    fn keepalive(&mut self, event: &Event<'_>) {
        self.all.push(written(event));
    }
}

/// What a front says of a capture at once, and by way of loads.
fn both(path: &Path) -> (Vec<String>, Heard) {
    let (mut front, mut other) = (
        Front::new(ip::Config::default()),
        Front::new(ip::Config::default()),
    );
    let (mut at_once, mut heard) = (Vec::new(), Heard::default());
    let mut load = Load::default();
    let Ok(mut source) = file::open(path, 0) else {
        return (at_once, heard);
    };
    while let Some(frame) = source.next_frame() {
        front.frame(&frame, &mut |event: &Event<'_>| {
            at_once.push(written(event));
        });
        other.pass(&frame, &mut load);
        if load.len() > 40 {
            let told = load.give(&mut heard, |_| Ok::<_, ()>(()));
            assert_eq!(told, Ok(()));
            load.clear();
        }
    }
    let told = load.give(&mut heard, |_| Ok::<_, ()>(()));
    assert_eq!(told, Ok(()));
    (at_once, heard)
}

#[test]
fn what_comes_out_is_what_went_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let (mut captures, mut events, mut of_esp) = (0, 0, 0);
    for inner in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(inner.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = file.path();
            if path
                .extension()
                .is_none_or(|end| end != "pcap" && end != "pcapng")
            {
                continue;
            }
            let (at_once, heard) = both(&path);
            for (one, other) in at_once.iter().zip(&heard.all) {
                assert_eq!(one, other, "{}", path.display());
            }
            assert_eq!(at_once.len(), heard.all.len(), "{}", path.display());
            assert_eq!(heard.foreseen, heard.of_esp);
            captures += 1;
            events += at_once.len();
            of_esp += heard.of_esp;
        }
    }
    assert!(
        captures > 200 && events > 10_000 && of_esp > 1000,
        "{captures} {events} {of_esp}"
    );
}

/// Counts what was told in any case, and what only where it is known between whom.
#[derive(Default)]
struct Counted(usize, usize);

impl Taker for Counted {
    fn foresee(&mut self, _: &[EspSight<'_>]) {}

    fn esp(&mut self, _: &EspSight<'_>, _: &Whole<'_>) {}

    fn dns(&mut self, _: &DnsSight, _: &dns::Message<'_>) {}

    fn event(&mut self, _: &Event<'_>) {
        self.0 += 1;
    }

    fn keepalive(&mut self, _: &Event<'_>) {
        self.1 += 1;
    }
}

#[test]
fn only_a_keepalive_of_which_it_was_asked_depends_on_the_answer() {
    let end = (std::net::IpAddr::from([192, 0, 2, 1]), 4500);
    let flow = crate::decap::Flow {
        source: end,
        destination: end,
    };
    let time = crate::time::Timestamp(0);
    let envelope = crate::assemble::tcp::blank_envelope(0, &flow, time, 17);
    let event = |what| Event {
        envelope: &envelope,
        frames: &[],
        what,
    };
    let ah = What::Ah {
        spi: 1,
        sequence: 1,
        next_header: 50,
    };
    let mut load = Load::default();
    load.knows(Addresses::V4(&[0; 8]));
    load.event(&event(What::NatKeepalive));
    load.event(&event(What::NatKeepalive));
    load.knows(Addresses::V4(&[0; 8]));
    load.event(&event(ah));
    let mut counted = Counted::default();
    assert_eq!(load.give(&mut counted, |_| Ok::<_, ()>(())), Ok(()));
    assert_eq!((counted.0, counted.1), (2, 1));
}
