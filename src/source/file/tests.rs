//! The reader against captures built by hand.

mod forms;
mod maker;
mod pcap;
mod pcapng;
mod survival;
