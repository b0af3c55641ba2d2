use super::*;
use crate::source::LinkType;

/// ESP in Ethernet and IPv4 between 10.x.x.x and 192.0.2.1, of the SA with this number.
fn packet(sa: u32, sequence: u32) -> Vec<u8> {
    let client = 0x0a00_0000 + sa / 2;
    let (from, to) = if sa.is_multiple_of(2) {
        (client, 0xc000_0201_u32)
    } else {
        (0xc000_0201, client)
    };
    let mut octets = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    octets.extend([0x45, 0, 0, 92, 0, 0, 0, 0, 64, 50, 0, 0]);
    octets.extend(from.to_be_bytes());
    octets.extend(to.to_be_bytes());
    octets.extend((0x1000_0000 + sa).to_be_bytes());
    octets.extend(sequence.to_be_bytes());
    octets.resize(14 + 92, 0x5a);
    octets
}

/// Every session of a walk, as it is given.
fn sessions(mut take: impl FnMut(&mut Walk, &Frame<'_>), sas: u32, each: u32) -> Vec<String> {
    let mut walk = Walk::new(ip::Config::default(), track::Config::default());
    let mut all = Vec::new();
    let mut no = 0;
    for round in 0..each {
        for step in 0..sas {
            // Neither in the order of their numbers nor of their sequence numbers.
            let sa = u32::try_from(u64::from(step) * 7919 % u64::from(sas)).unwrap_or_default();
            let sequence = 1 + round + u32::from((sa + round) % 13 == 0);
            let octets = packet(sa, sequence);
            no += 1;
            let frame = Frame {
                capture: 0,
                no,
                time: Timestamp(
                    1_700_000_000_000_000_000 + i64::try_from(no).unwrap_or_default() * 3000,
                ),
                link: LinkType::ETHERNET,
                octets: &octets,
                wire_len: 106,
                interface: 0,
            };
            take(&mut walk, &frame);
            while let Some(Change::Closed(session)) = walk.poll() {
                all.push(format!("{session:?}"));
            }
        }
    }
    walk.finish();
    all.extend(walk.closed().map(|session| format!("{session:?}")));
    let counters = walk.track_counters();
    all.push(format!("{counters:?}"));
    all
}

#[test]
fn packets_of_many_sas_that_wait_for_each_other_are_told_as_others() {
    // More flows than are looked up one by one.
    let (sas, each) = (36_000, 4);
    let mut waited = 0;
    let take = |walk: &mut Walk, frame: &Frame<'_>| {
        walk.frame(frame);
        waited = waited.max(walk.later.len());
    };
    let by_header = sessions(take, sas, each);
    assert_eq!(waited, track::ESP_TOGETHER - 1);
    let by_event = sessions(|walk, frame| walk.frame_and(frame, &mut |_| {}), sas, each);
    assert_eq!(by_header.len(), 18_001);
    let differ = by_header.iter().zip(&by_event).find(|(a, b)| a != b);
    assert_eq!(differ, None);
    assert_eq!(by_header.len(), by_event.len());
}
