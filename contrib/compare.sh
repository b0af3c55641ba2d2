#!/bin/sh
# How much CPU time vpnscope takes beside others on the same captures: compare.sh [-r ROUNDS] FILE…
#
# The programs take turns in rounds, because absolute times mean nothing on a machine that others
# use too; what counts is the last column, the median of (theirs / ours) within a round. Programs
# that are not installed are left out. tcpdump only copies the frames, tshark only counts IKE,
# ndpiReader classifies flows; none of them says why a connection failed.
set -eu
rounds=5
while getopts r: option; do
  case $option in r) rounds=$OPTARG ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
vpnscope=${VPNSCOPE:-vpnscope}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# User and system time of a command, in milliseconds. One that fails has no time that counts; 1 is
# what vpnscope says of findings, and others of a file cut short.
cpu() {
  status=0
  bash -c 'TIMEFORMAT="%U %S"; time "$@" >/dev/null 2>&1' - "$@" 2>"$work/time" || status=$?
  if [ "$status" -gt 1 ]; then
    echo "compare.sh: ended with $status: $*" >&2
    return "$status"
  fi
  awk 'NF == 2 { print ($1 + $2) * 1000 }' "$work/time"
}

one() {
  case $1 in
  vpnscope) cpu "$vpnscope" analyze --summary --threads 1 "$2" ;;
  tcpdump) cpu tcpdump -r "$2" -w /dev/null ;;
  tshark) cpu tshark -r "$2" -Y isakmp ;;
  ndpiReader) cpu ndpiReader -q -i "$2" ;;
  esac
}

programs=vpnscope
for program in tcpdump tshark ndpiReader; do
  if command -v "$program" >/dev/null; then programs="$programs $program"; fi
done
printf '%-24s %-12s %10s %12s\n' file program 'CPU ms' 'x vpnscope'
for file; do
  cat "$file" >/dev/null # warm
  round=0
  while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    for program in $programs; do
      took=$(one "$program" "$file")
      echo "$round $program $took" >>"$work/times"
    done
  done
  for program in $programs; do
    awk -v program="$program" '
      $2 == "vpnscope" { ours[$1] = $3 }
      $2 == program { theirs[$1] = $3 }
      END { for (r in theirs) print theirs[r], theirs[r] / (ours[r] > 0 ? ours[r] : 1) }' "$work/times" |
      sort -k2 -g | awk -v file="${file##*/}" -v program="$program" '
      { cpu[NR] = $1; ratio[NR] = $2 }
      END { m = int((NR + 1) / 2); printf "%-24s %-12s %10.0f %12.2f\n", file, program, cpu[m], ratio[m] }'
  done
  rm -f "$work/times"
done
