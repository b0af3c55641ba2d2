#![no_main]

#[path = "../harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| harness::tcp_streams(octets));
