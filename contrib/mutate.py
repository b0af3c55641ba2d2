#!/usr/bin/env python3
"""Damages captures and gives them to every command; says which command broke a promise.

    contrib/mutate.py VPNSCOPE ROUNDS [SEED] FOLDER...

The promises: no panic, no signal, an exit status of 0, 1 or 2, output that is JSON where JSON was
asked for, at most a second of computing per megabyte (and a second to begin with), and at most
512 MB of memory. Inputs that break one are kept in the folder `mutants`. The same seed gives the
same inputs.
"""
import gzip
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time

SECONDS = 1.0
MEMORY = 512 << 10
LIES = [0, 1, 2, 3, 4, 7, 8, 15, 16, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]


def captures(folders):
    found = []
    for folder in folders:
        for base, _, names in os.walk(folder):
            for name in names:
                if ".pcap" in name or name.endswith((".cap", ".gz", ".zst", ".dmp")):
                    path = os.path.join(base, name)
                    if 24 < os.path.getsize(path) < 4_000_000:
                        found.append(path)
    return sorted(found)


def records(octets):
    """The records of a classic little-endian capture: header and octets."""
    if octets[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        return None
    found, at = [], 24
    while at + 16 <= len(octets):
        length = struct.unpack_from("<I", octets, at + 8)[0]
        found.append((octets[at : at + 16], octets[at + 16 : at + 16 + length]))
        at += 16 + length
    return found


def whole(head, frames):
    out = [head]
    for header, octets in frames:
        times, wire = header[:8], struct.unpack("<I", header[12:])[0]
        out.append(times + struct.pack("<II", len(octets), max(wire, len(octets))) + octets)
    return b"".join(out)


def flip(octets, rng, count=None):
    octets = bytearray(octets)
    for _ in range(count or rng.randint(1, 40)):
        if octets:
            octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
    return bytes(octets)


def lie(octets, rng):
    octets = bytearray(octets)
    for _ in range(rng.randint(1, 12)):
        width = rng.choice([1, 2, 2, 2, 4])
        if len(octets) > width:
            at = rng.randrange(len(octets) - width)
            known = int.from_bytes(octets[at : at + width], "big")
            value = rng.choice([rng.choice(LIES), known + rng.choice([1, 4, 8, -1, -4, -8])])
            value = value << rng.choice([0, 0, 8, 16]) if width == 4 else value
            octets[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "big")
    return bytes(octets)


def cut(octets, rng):
    return octets[: rng.randrange(len(octets) + 1)]


def splice(octets, other, rng):
    a, b = rng.randrange(len(octets) + 1), rng.randrange(len(other) + 1)
    return octets[:a] + other[b : b + 200_000]


def repeat(octets, rng):
    a = rng.randrange(len(octets) + 1)
    b = min(len(octets), a + rng.randrange(4096))
    return octets[:b] + octets[a:b] * rng.randint(1, 8) + octets[b:]


def frames_changed(octets, other, rng):
    mine = records(octets)
    if not mine:
        return None
    theirs = records(other) or mine
    for _ in range(rng.randint(1, 2 * len(mine))):
        at = rng.randrange(len(mine))
        header, frame = mine[at]
        kind = rng.randrange(9)
        if kind == 0:
            mine.insert(rng.randrange(len(mine)), rng.choice(theirs))
        elif kind == 1:
            mine.insert(rng.randrange(len(mine)), mine[at])
        elif kind == 2 and len(mine) > 1:
            del mine[at]
        elif kind == 3:
            mine[at] = (rng.randbytes(8) + header[8:], frame)
        elif kind == 4:
            mine[at] = (header, splice(frame, rng.choice(theirs)[1], rng))
        elif kind == 5:
            mine[at] = (header, cut(frame, rng))
        elif kind == 6:
            mine[at] = (header, frame[:34] + flip(frame[34:], rng, 6))
        else:
            mine[at] = (header, frame[:34] + lie(frame[34:], rng))
    if rng.random() < 0.1:
        mine = mine * rng.randint(2, 40)
    return whole(octets[:24], mine[:20_000])


def mutant(octets, other, rng):
    kind = rng.randrange(12)
    changed = frames_changed(octets, other, rng) if kind < 6 else None
    if changed is None:
        changed = rng.choice(
            [
                lambda: flip(octets, rng),
                lambda: lie(octets, rng),
                lambda: cut(octets, rng),
                lambda: splice(octets, other, rng),
                lambda: repeat(octets, rng),
                lambda: flip(gzip.compress(octets, 1), rng, rng.randint(1, 3)),
                lambda: gzip.compress(lie(octets, rng), 1),
            ]
        )()
    return changed


def commands(tool, path, other, out, rng):
    form = rng.choice(["text", "json", "ndjson"])
    script = rng.choice(["--dry-run", "--show-script"])
    session = str(rng.randint(1, 3))
    code = rng.choice(["809", "13801", "psk-mismatch", "NO_PROPOSAL_CHOSEN", "789", "tls-alert"])
    yield [tool, "analyze", "--format", form, path], form
    yield [tool, "analyze", "--format", "json", "--tls", "all", path, other], "json"
    yield [tool, "analyze", "--summary", path], "text"
    yield [tool, "decode", "--format", form, path], form if form == "ndjson" else "text"
    yield [tool, "decode", "--show-secrets", path], "text"
    yield [tool, "compare", "--format", form, f"a={other}", f"b={path}"], form
    yield [tool, "compare", path], "text"
    yield [tool, "extract", path, "-o", out], "text"
    yield [tool, "extract", "--session", session, path, other, "-o", out], "text"
    yield [tool, "extract", "--shard", "1/3", path, "-o", out + ".pcap.gz"], "text"
    yield [tool, "replay", path, "--session", session, script, "--target", "127.0.0.1:9"], "text"
    yield [tool, "replay", path, "--dry-run", "--listen", "127.0.0.1:0"], "text"
    yield [tool, "replay", path, "--raw", "lo", "--dry-run"], "text"
    yield [tool, "replay", path, "--raw", "lo", "--dry-run", "--session", session], "text"
    yield [tool, "explain", code, "--in", path, "--format", form], form


def run(command, form, stdin=None):
    """What was broken, where something was; and seconds, memory."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (120, 130))
        child = subprocess.Popen(
            command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, preexec_fn=limit
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, said = out.read(), err.read()
    seconds = used.ru_utime + used.ru_stime
    broken = []
    if child.returncode not in (0, 1, 2):
        broken.append(f"status {child.returncode}")
    if b"panicked" in said:
        broken.append("panic")
    if child.returncode in (0, 1) and form != "text":
        try:
            lines = printed.splitlines() if form == "ndjson" else [printed]
            for line in lines:
                json.loads(line)
        except ValueError as error:
            broken.append(f"no JSON: {error}")
    bad = [c for c in printed if c < 32 and c not in (9, 10)] if form == "text" else []
    if bad:
        broken.append(f"control character {bad[0]} in the output")
    if used.ru_maxrss > MEMORY:
        broken.append(f"{used.ru_maxrss >> 10} MB of memory")
    return broken, seconds, used.ru_maxrss


def main():
    tool, rounds, rest = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    seed = int(rest.pop(0)) if rest and rest[0].isdigit() else 1
    known = captures(rest)
    if not known:
        sys.exit("no captures")
    os.makedirs("mutants", exist_ok=True)
    runs, faults, began = 0, 0, time.time()
    slowest, largest = (0.0, ""), (0, "")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(seed, seed + rounds):
            rng = random.Random(number)
            chosen, other = rng.choice(known), rng.choice(known)
            with open(chosen, "rb") as file:
                octets = file.read()
            with open(other, "rb") as file:
                changed = mutant(octets, file.read(), rng)
            path = os.path.join(folder, "mutant" + ("" if rng.random() < 0.5 else ".pcap"))
            with open(path, "wb") as file:
                file.write(changed)
            for command, form in commands(tool, path, other, os.path.join(folder, "out"), rng):
                broken, seconds, memory = run(command, form)
                size = sum(os.path.getsize(p) for p in {path, other} if any(p in c for c in command))
                pace = seconds / (SECONDS + size / 1e6 * SECONDS)
                slowest = max(slowest, (pace, f"{seconds:.2f} s {' '.join(command[1:3])} seed {number}"))
                largest = max(largest, (memory, f"{memory >> 10} MB {command[1]} seed {number}"))
                if pace > 1:
                    broken.append(f"{seconds:.1f} s for {size} octets")
                runs += 1
                if broken:
                    faults += 1
                    kept = f"mutants/{number}"
                    with open(kept, "wb") as file:
                        file.write(changed)
                    print(f"{kept}: {'; '.join(broken)}: {' '.join(command)}  (from {chosen}, other {other})")
                    sys.stdout.flush()
    print(f"{rounds} inputs, {runs} runs, {faults} broken promises in {time.time() - began:.0f} s")
    print(f"slowest: {slowest[1]}; largest: {largest[1]}")
    sys.exit(1 if faults else 0)


main()
