#!/bin/sh
# soak.sh RELEASE [PACKETS] [MOST]: attacks without end through `analyze -`; fails where the program
# takes more than MOST kilobytes (512 MB). Needs RELEASE/vpnscope and RELEASE/examples/adversary.
set -eu
release=$1
packets=${2:-8000000}
most=${3:-524288}
status=0
"$release/examples/adversary" "$packets" 1 | {
  # A program in the background has no standard input of its own.
  exec 3<&0
  "$release/vpnscope" analyze --summary --tls all - <&3 >/dev/null &
  pid=$!
  highest=0
  while size=$(awk '/VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$size" ]; do
    highest=$size
    sleep 1
  done
  wait "$pid" || status=$?
  echo "$packets packets, at most $highest kB, exit status $status"
  [ "$status" -le 1 ] && [ "$highest" -le "$most" ]
}
