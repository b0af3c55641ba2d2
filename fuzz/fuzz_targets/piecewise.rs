#![no_main]

#[path = "../harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| harness::piecewise(octets));
