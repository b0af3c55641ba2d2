#![no_main]

#[path = "../harness.rs"]
mod harness;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|octets: &[u8]| harness::structured(octets));

fuzz_mutator!(
    |octets: &mut [u8], size: usize, max_size: usize, seed: u32| {
        let inside = &mut |body: &mut Vec<u8>| {
            let len = body.len();
            body.resize(len + 64, 0);
            let room = body.len();
            let changed = fuzzer_mutate(body, len, room);
            body.truncate(changed);
        };
        let changed = harness::shape::mutate(&octets[..size], u64::from(seed), inside);
        let len = changed.len().min(max_size);
        octets[..len].copy_from_slice(&changed[..len]);
        len
    }
);
