#!/bin/sh
# Counts the instructions that a packet of each mix costs, with callgrind, and compares them with
# benches/instructions.txt: more than 5 % above is a failure. `instructions.sh --write` sets the
# figures anew.
#
# A count is the difference between a longer and a shorter input, divided by the packets between
# them: start-up cancels out. The same compiler gives the same counts on every machine; another
# one may give others, so a count beyond the limit with another compiler than the one named in the
# file is told and is no failure.
set -eu
cd "$(dirname "$0")/.."
figures=benches/instructions.txt
short=1000 long=5000
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --quiet --release --locked --bin vpnscope
CARGO_MANIFEST_DIR=$PWD rustc --edition 2024 -O -o "$work/traffic" examples/traffic.rs
compiler=$(rustc --version | cut -d' ' -f2)

count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null \
    "$target/release/vpnscope" analyze --summary --threads 1 "$1" 2>&1 >/dev/null |
    awk '/Collected/ { print $4 }'
}

{
  echo "# Instructions a packet, with rustc $compiler. Made by contrib/instructions.sh --write."
  for mix in esp-bulk handshakes mixed-span small-64B; do
    for frames in $short $long; do
      "$work/traffic" "$mix" "$frames" >"$work/$mix-$frames.pcap"
    done
    few=$(count "$work/$mix-$short.pcap")
    many=$(count "$work/$mix-$long.pcap")
    echo "$mix $(((many - few) / (long - short)))"
  done
} >"$work/figures"

if [ "${1:-}" = --write ]; then
  cp "$work/figures" "$figures"
fi
same=$(grep -cF "rustc $compiler." "$figures" || true)
awk -v same="$same" '
  /^#/ { next }
  NR == FNR { limit[$1] = $2; next }
  {
    percent = ($2 / limit[$1] - 1) * 100
    printf "%-12s %6d instructions a packet, committed %6d (%+.1f %%)\n", $1, $2, limit[$1], percent
    if (percent > 5) worse = 1
  }
  END {
    if (worse && !same) print "another compiler than the figures: told only"
    exit worse && same
  }' "$figures" "$work/figures"
