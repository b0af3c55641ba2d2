#!/bin/sh
# Many captures, many processes, one diagnosis: map-reduce.sh [-n SHARDS] [-j JOBS] FILE… >sessions.ndjson
#
# Map: of each file the frames that matter, spread by address pair, as small captures.
# Reduce: each shard is analysed by itself. Between the two lie files: move those of a shard to one
# machine, and it works over as many as there are shards. With one shard, the default, the sessions
# are exactly those of one process; with more, one that changes its addresses (MOBIKE, a capture on
# both sides of a NAT) is told once for each pair of addresses, and its look-ups (DNS, RADIUS) apart; and what other
# clients of a gateway taught is not known to all of them.
set -eu
shards=1 jobs=$(getconf _NPROCESSORS_ONLN)
while getopts n:j: option; do
  case $option in n) shards=$OPTARG ;; j) jobs=$OPTARG ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export work shards VPNSCOPE="${VPNSCOPE:-vpnscope}"
# Numbered, so that each shard sees the files in the order given.
number=0
for file; do number=$((number + 1)); printf '%05d\0%s\0' "$number" "$file"; done |
  xargs -0 -n 2 -P "$jobs" sh -c 'for i in $(seq "$shards"); do
    "$VPNSCOPE" extract --shard "$i/$shards" -o "$work/$i.$1.pcapng.zst" -- "$2" || [ $? -eq 2 ]; done' map
# Status 1 says that something failed in the captures, which is an answer.
seq "$shards" | xargs -P "$jobs" -I@ sh -c '
  "$VPNSCOPE" analyze --format ndjson "$work"/@.*.pcapng.zst >"$work/@.ndjson" || [ $? -eq 1 ]'
cat "$work"/*.ndjson | grep '"type":"session"'
