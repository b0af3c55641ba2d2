#!/usr/bin/env python3
"""Counts the instructions of every command for an attack of N packets and one of 2N.

    contrib/linear.py VPNSCOPE ADVERSARY [N] [KINDS]

VPNSCOPE and ADVERSARY (examples/adversary) are built programs. Time has to grow with the length
of the input: where twice the packets cost more than 2.3 times the instructions (what an empty
capture costs taken off), that is named, and the exit status is 1. Needs valgrind.
"""
import os
import re
import subprocess
import sys
import tempfile

MOST = 2.3
# Sessions that wait are packed from the first ones on: where that set in between N and 2N packets,
# it would look like growth.
BUDGET = ["--budget", "awake-octets=1M"]
COMMANDS = {
    "analyze": ["analyze", "--tls", "all", "{}"],
    "json": ["analyze", "--format", "json", "{}"],
    "decode": ["decode", "{}"],
    "compare": ["compare", "a={}", "b={}"],
    "extract": ["extract", "{}", "-o", "/dev/null"],
    "explain": ["explain", "809", "--in", "{}"],
    "replay": ["replay", "{}", "--session", "1", "--show-script", "--target", "127.0.0.1:9"],
    "raw": ["replay", "{}", "--raw", "lo", "--dry-run"],
}


def instructions(tool, command, path):
    arguments = [argument.replace("{}", path) for argument in command] + BUDGET
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", tool, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = re.search(r"Collected : (\d+)", run.stderr)
    if not found:
        sys.exit(f"valgrind says: {run.stderr[-500:]}")
    return int(found.group(1))


def main():
    tool, adversary = sys.argv[1:3]
    packets = int(sys.argv[3]) if len(sys.argv) > 3 else 4000
    kinds = sys.argv[4] if len(sys.argv) > 4 else "rfiakmceEgsthdplounqb"
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:

        def capture(kind, count):
            path = os.path.join(folder, f"{kind}-{count}.pcap")
            with open(path, "wb") as file:
                subprocess.run([adversary, str(count), "1", kind], stdout=file, check=True)
            return path

        empty = capture("i", 0)
        for name, command in COMMANDS.items():
            base = instructions(tool, command, empty)
            for kind in kinds:
                counts = [
                    instructions(tool, command, capture(kind, packets * times)) - base
                    for times in (1, 2)
                ]
                ratio = counts[1] / max(counts[0], 1)
                # What hardly costs anything has no ratio.
                bad = ratio > MOST and counts[1] > 500 * packets
                wrong += bad
                each = counts[1] // (2 * packets)
                print(f"{name:8} {kind} {each:>8} instructions a packet, ratio {ratio:.2f}"
                      + ("  GROWS FASTER THAN ITS INPUT" if bad else ""), flush=True)
    sys.exit(1 if wrong else 0)


main()
