//! The walk over every capture there is: the glance and the full walk agree, and so does
//! `etherparse` where it knows the shape.
#![allow(clippy::print_stderr, reason = "a test that says when it is skipped")]

use std::path::{Path, PathBuf};

use etherparse::{LaxSlicedPacket, TransportSlice};

use super::*;
use crate::source::FrameSource;
use crate::source::file::open;

/// Every file below the folder that `VPNSCOPE_CORPUS` names.
fn corpus() -> Vec<PathBuf> {
    let (root, require) = (
        std::env::var_os("VPNSCOPE_CORPUS"),
        std::env::var_os("VPNSCOPE_REQUIRE").is_some_and(|value| value == "1"),
    );
    let mut files = Vec::new();
    if let Some(root) = root {
        for folder in ["lab", "captures/files"] {
            collect(&Path::new(&root).join(folder), &mut files);
        }
    }
    assert!(
        !(require && files.is_empty()),
        "VPNSCOPE_CORPUS names no captures"
    );
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "logs") {
                collect(&path, files);
            }
        } else {
            files.push(path);
        }
    }
}

#[test]
fn three_readers_agree_on_the_corpus() {
    let files = corpus();
    if files.is_empty() {
        eprintln!("skipped: VPNSCOPE_CORPUS names no captures");
        return;
    }
    let (mut frames, mut compared) = (0_u64, 0_u64);
    for file in files {
        let Ok(mut source) = open(&file, 0) else {
            continue;
        };
        while let Some(frame) = source.next_frame() {
            frames += 1;
            agree(&frame);
            compared += u64::from(agrees_with_etherparse(&frame, &file));
        }
    }
    assert!(
        frames > 10_000 && compared > frames / 2,
        "{frames} {compared}"
    );
}

/// Compares where `etherparse` reads the same layers; `false` where it does not.
fn agrees_with_etherparse(frame: &Frame<'_>, file: &Path) -> bool {
    let segment = decap(frame);
    let envelope = segment.envelope;
    let plain = envelope
        .encapsulation
        .iter()
        .all(|peel| matches!(peel, Peel::Vlan(_)));
    if frame.link != LinkType::ETHERNET || !plain {
        return false;
    }
    let Ok(other) = LaxSlicedPacket::from_ethernet(frame.octets) else {
        return false;
    };
    let place = || format!("{} frame {}", file.display(), frame.no);
    let Some(net) = &other.net else {
        return false;
    };
    let (source, destination) = match net {
        etherparse::LaxNetSlice::Ipv4(ip) => (
            IpAddr::V4(ip.header().source_addr()),
            IpAddr::V4(ip.header().destination_addr()),
        ),
        etherparse::LaxNetSlice::Ipv6(ip) => (
            IpAddr::V6(ip.header().source_addr()),
            IpAddr::V6(ip.header().destination_addr()),
        ),
        etherparse::LaxNetSlice::Arp(_) => return false,
    };
    assert_eq!(
        (source, destination),
        (envelope.source, envelope.destination),
        "{}",
        place()
    );
    match (&other.transport, segment.content) {
        (Some(TransportSlice::Udp(udp)), Content::Udp { payload, .. }) => {
            assert_eq!(
                (udp.source_port(), udp.destination_port()),
                (envelope.source_port, envelope.destination_port),
                "{}",
                place()
            );
            assert_eq!(udp.payload(), payload, "{}", place());
        }
        (Some(TransportSlice::Tcp(tcp)), Content::Tcp(ours)) => {
            assert_eq!(
                (tcp.source_port(), tcp.sequence_number(), tcp.payload()),
                (envelope.source_port, ours.sequence, ours.payload),
                "{}",
                place()
            );
        }
        _ => {}
    }
    true
}
