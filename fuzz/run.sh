#!/bin/sh
# Runs every target for SECONDS (default 10), one after the other, with seeds from the captures.
# Needs a nightly compiler and cargo-fuzz. Stops at the first finding, whose input libFuzzer leaves
# below artifacts/: minimise it, fix the fault, and keep the input in regressions/TARGET/.
set -eu
cd "$(dirname "$0")"
seconds=${1:-10}
cargo +nightly fuzz build
cargo +nightly run --quiet --bin seeds ../pcaps corpus
for target in fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  mkdir -p "corpus/$name"
  # Each compressed input has a thread, and one that is about to end looks like a leak where its
  # last steps take long on a busy machine.
  case $name in
    file | gzip | writer | zstd) leaks=0 ;;
    *) leaks=1 ;;
  esac
  cargo +nightly fuzz run "$name" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -detect_leaks="$leaks" -print_final_stats=1
done
