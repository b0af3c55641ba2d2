#!/bin/sh
# What takes long: everything of the gate, with nothing skipped.
set -eu
export VPNSCOPE_REQUIRE=1
make lint
cargo test --workspace --locked --release
# Every labelled capture through a wire.
VPNSCOPE_LIVE=all cargo test --locked --release --test live
