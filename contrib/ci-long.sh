#!/bin/sh
# What takes long: everything of the gate, with nothing skipped.
set -eu
export VPNSCOPE_REQUIRE=1
# With what live capture is compared with, and what reads its files.
contrib/install-lab.sh tshark tcpdump
make lint
VPNSCOPE_LIVE=later VPNSCOPE_LAB=later cargo test --workspace --locked --release
# The replay against every daemon, and every client against the replay.
VPNSCOPE_LONG=1 cargo test --locked --release --test replay_lab --test replay_tls -- --test-threads 4
# Every labelled capture through a wire, a thousand starts, and sessions that fail: ten minutes until as
# many are given up as begin, and five to see that nothing grows.
VPNSCOPE_LIVE=all VPNSCOPE_LONG=1 VPNSCOPE_SOAK="${VPNSCOPE_SOAK:-900}" \
  cargo test --locked --release --test live -- --test-threads 4 --nocapture
# The rate that a capture leaves to the sender, beside tcpdump's.
cargo bench --locked --bench live
VPNSCOPE_LONG=1 cargo test --locked --test robustness
if cargo fuzz --version >/dev/null 2>&1; then
  fuzz/run.sh 10
else
  echo "skipped: fuzzing: cargo-fuzz is not installed"
fi
# Undefined behaviour in the dissectors or below them.
if cargo +nightly miri --version >/dev/null 2>&1; then
  (cd dissectors && PROPTEST_CASES=2 MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --lib --locked)
else
  echo "skipped: miri: not installed"
fi
# Licences, sources, duplicates.
if cargo deny --version >/dev/null 2>&1; then
  cargo deny --locked check licenses bans sources
else
  echo "skipped: cargo deny: not installed (cargo install --locked cargo-deny)"
fi
# Damaged captures through every command, attacks in bulk with bounded memory, time that grows linearly.
cargo build --release --locked --bins --examples
release=$(realpath "${CARGO_TARGET_DIR:-target}/release")
(cd "$(mktemp -d)" && "$OLDPWD/contrib/mutate.py" "$release/vpnscope" 200 "$OLDPWD/pcaps")
contrib/soak.sh "$release" 1000000
if valgrind --version >/dev/null 2>&1; then
  contrib/linear.py "$release/vpnscope" "$release/examples/adversary" 1000 iesdlg
fi
