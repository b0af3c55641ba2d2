//! Octets nobody would write.

use proptest::prelude::*;

use super::super::*;
use super::maker::*;

/// Reads whatever it is; checks what must hold of any input.
fn survive(octets: &[u8]) -> Result<(), TestCaseError> {
    let Ok(mut source) = open_octets(octets) else {
        return Ok(());
    };
    let frames = drain(&mut source);
    prop_assert!(frames.len() <= octets.len() / 16);
    let held: usize = frames.iter().map(|frame| frame.octets.len()).sum();
    prop_assert!(held <= octets.len());
    for problem in &source.statistics().problems {
        prop_assert!(problem.offset.unwrap() <= octets.len() as u64);
    }
    Ok(())
}

fn mutated(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = file.len();
    let changes = prop::collection::vec((0..len, any::<u8>()), 0..12);
    let cut = 0..=len;
    let splice = (0..len, prop::collection::vec(any::<u8>(), 0..40));
    (changes, cut, splice).prop_map(move |(changes, cut, (at, more))| {
        let mut file = file.clone();
        for (at, octet) in changes {
            file[at] = octet;
        }
        file.splice(at..at, more);
        file.truncate(file.len() - cut / 4);
        file
    })
}

proptest! {
    #[test]
    fn any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        survive(&octets)?;
        survive(&[LE.pcap(US, 1), octets.clone()].concat())?;
        survive(&[LE.section(), LE.interface(1, 0, &[]), octets].concat())?;
    }

    #[test]
    fn mutated_pcaps_are_survived(file in mutated([small_pcap(LE), small_pcap(LE)].concat())) {
        survive(&file)?;
    }

    #[test]
    fn mutated_pcapngs_are_survived(
        file in mutated([small_pcapng(LE), small_pcapng(BE), small_pcapng(LE)].concat())
    ) {
        survive(&file)?;
    }
}
