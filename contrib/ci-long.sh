#!/bin/sh
# What takes long: everything of the gate, with nothing skipped.
set -eu
export VPNSCOPE_REQUIRE=1
contrib/install-lab.sh
make lint
cargo test --workspace --locked --release
# Every labelled capture through a wire.
VPNSCOPE_LIVE=all cargo test --locked --release --test live
VPNSCOPE_LONG=1 cargo test --locked --test robustness
if cargo fuzz --version >/dev/null 2>&1; then
  fuzz/run.sh 10
else
  echo "skipped: fuzzing: cargo-fuzz is not installed"
fi
