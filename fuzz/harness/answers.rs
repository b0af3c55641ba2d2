//! The replayer, fed with answers: those of the recording, changed ones, and anything else.

use std::io::Cursor;
use std::sync::OnceLock;

use vpnscope::replay::conversation::Side;
use vpnscope::replay::judge::{Want, judge};
use vpnscope::replay::settings::{Settings, Timing};
use vpnscope::replay::{Channel, Conversation, Replayer, recording};
use vpnscope::source::file::FileSource;
use vpnscope::time::{Span, Timestamp};

/// Recordings of every protocol that can be played.
const CAPTURES: &[&[u8]] = &[
    include_bytes!("../../pcaps/ikev2-psk-established/client.pcap"),
    include_bytes!("../../pcaps/ikev2-cookie-then-established/client.pcap"),
    include_bytes!("../../pcaps/ikev1-main-psk-established/client.pcap"),
    include_bytes!("../../pcaps/ikev1-aggressive-psk-mismatch/client.pcap"),
    include_bytes!("../../pcaps/l2tp-mschapv2-established/client.pcap"),
    include_bytes!("../../pcaps/tls12-dhe/single.pcap"),
    include_bytes!("../../pcaps/tls13-hello-retry/single.pcap"),
    include_bytes!("../../pcaps/dtls12-gnutls/single.pcap"),
];

fn recordings() -> &'static [Conversation] {
    static READ: OnceLock<Vec<Conversation>> = OnceLock::new();
    READ.get_or_init(|| {
        CAPTURES
            .iter()
            .map(|octets| {
                let open = || FileSource::new("recording", Cursor::new(octets.to_vec()), 0);
                let sessions = recording::sessions(&mut open().expect("a capture"));
                let session = recording::choose(&sessions, None)
                    .or_else(|_| recording::choose(&sessions, Some(1)))
                    .expect("a session that can be played");
                recording::read(&mut open().expect("a capture"), session).expect("its octets")
            })
            .collect()
    })
}

/// Messages that the other end may be asked for in one run.
const TURNS: usize = 600;

/// The first octet chooses the recording and the end that is played. Then parts: what is heard
/// or how long nothing is, and octets of it.
pub fn replay(octets: &[u8]) {
    let Some((&choice, mut rest)) = octets.split_first() else {
        return;
    };
    let recordings = recordings();
    let recording = &recordings[usize::from(choice >> 1) % recordings.len()];
    let role = if choice & 1 == 0 {
        Side::Client
    } else {
        Side::Gateway
    };
    let mut settings = Settings::new(role, u64::from(choice));
    settings.timing = Timing::Fast;
    settings.blind = choice & 0x80 != 0;
    let Ok(mut replayer) = Replayer::new(recording.clone(), settings) else {
        return;
    };
    let answers: Vec<&[u8]> = recording
        .of(role.other())
        .map(|(_, message)| message.octets.as_slice())
        .collect();
    let ends = (
        "10.9.8.7:500".parse().unwrap(),
        "10.9.8.1:500".parse().unwrap(),
    );
    for channel in [Channel::Primary, Channel::Natt] {
        replayer.connected(channel, ends.0, ends.1);
    }
    let mut now = Timestamp::from_parts(1_700_000_000, 0);
    let mut sent = 0;
    for _ in 0..TURNS {
        sent += drain(&mut replayer, now);
        let Some((&[kind, high, low], tail)) = rest.split_first_chunk::<3>() else {
            break;
        };
        let len = (usize::from(high) << 8 | usize::from(low)).min(tail.len());
        let channel = if kind & 1 == 0 {
            Channel::Primary
        } else {
            Channel::Natt
        };
        match kind >> 1 & 7 {
            0 => {
                let (heard, next) = tail.split_at(len);
                rest = next;
                replayer.handle(now, channel, heard);
            }
            1 => {
                rest = tail;
                now = now + Span::from_millis(i64::from(high) << 8 | i64::from(low));
            }
            2 => {
                rest = tail;
                if let Some(deadline) = replayer.next_deadline() {
                    assert!(deadline < Timestamp::MAX);
                    now = now.max(deadline);
                }
            }
            3 if len == 0 => {
                rest = tail;
                replayer.closed();
            }
            kind => {
                // An answer of the recording; places in it are changed by what follows.
                let Some(answer) = answers.get(usize::from(low) % answers.len().max(1)) else {
                    return;
                };
                let (changes, next) = tail.split_at((usize::from(high) & 31).min(tail.len()));
                rest = next;
                let mut heard = answer.to_vec();
                if kind > 4 {
                    as_if_to_us(&mut heard, &replayer);
                }
                change(&mut heard, changes);
                replayer.handle(now, channel, &heard);
            }
        }
    }
    replayer.give_up();
    sent += drain(&mut replayer, now + Span::from_secs(60));
    assert!(sent <= 4_000, "{sent} messages sent");
    assert!(replayer.live().messages.len() <= 6_000);
    let judged = judge(&replayer);
    assert!((0..=2).contains(&judged.exit(Want::Same)));
    let _ = format!("{judged:?}");
}

/// Puts the SPIs or ids that the replayer chose where the recording has its own: IKE begins
/// with the initiator's SPI.
fn as_if_to_us(heard: &mut [u8], replayer: &Replayer) {
    let first = replayer.live().messages.first();
    if let Some(said) = first.and_then(|message| message.octets.first_chunk::<8>())
        && let Some(place) = heard.first_chunk_mut::<8>()
    {
        *place = *said;
    }
}

/// Pairs of place and value; a place in the last octets cuts the message there.
fn change(heard: &mut Vec<u8>, changes: &[u8]) {
    for pair in changes.chunks_exact(2) {
        let place = usize::from(pair[0]) * heard.len() / 256;
        match heard.get_mut(place) {
            Some(_) if pair[0] >= 0xf0 => heard.truncate(place),
            Some(octet) => *octet ^= pair[1],
            None => {}
        }
    }
}

fn drain(replayer: &mut Replayer, now: Timestamp) -> usize {
    let mut sent = 0;
    while let Some(transmit) = replayer.poll_transmit(now) {
        sent += 1;
        assert!(transmit.octets.len() <= 1 << 17);
        assert!(sent <= 2_000, "it sends without end");
    }
    sent
}
