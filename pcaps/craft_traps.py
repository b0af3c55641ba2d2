#!/usr/bin/env python3
"""Crafts a capture for each way in which a capture misleads (docs/confidence.md): craft_traps.py

Writes crafted-trap-*/ beside this file, from labelled captures that are cut, doubled, reordered, thinned,
enlarged, or joined with what else may stand in a capture. The same in every run.
"""
import json, random, struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
IP = 14


def load(name):
    """Frames of a pcap in microseconds or nanoseconds: time in nanoseconds, octets, length on the wire."""
    data = (HERE / name).read_bytes()
    scale = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[struct.unpack("<I", data[:4])[0]]
    at, frames = 24, []
    while at < len(data):
        s, part, cap, wire = struct.unpack("<IIII", data[at : at + 16])
        frames.append((s * 10**9 + part * scale, data[at + 16 : at + 16 + cap], wire))
        at += 16 + cap
    return frames


def is_ip(frame):
    return frame[1][12:14] == b"\x08\x00"


def source(frame):
    return frame[1][IP + 12 : IP + 16]


def opener(frames):
    return source(next(f for f in frames if is_ip(f)))


def pcap(frames):
    out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    for t, octets, wire in frames:
        out += struct.pack("<IIII", t // 10**9, t % 10**9, len(octets), wire) + octets
    return out


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def block(kind, body):
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def pcapng(frames, dropped=None, ours=lambda frame: False):
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack("<HHI", 1, 0, 65535) + option(9, b"\x09") + option(0, b""))
    for frame in frames:
        t, octets, wire = frame
        body = struct.pack("<IIIII", 0, t >> 32, t & 0xFFFFFFFF, len(octets), wire) + octets + b"\0" * (-len(octets) % 4)
        if ours(frame):
            body += option(1, b"sent by vpnscope") + option(0, b"")
        out += block(6, body)
    if dropped is not None:
        t = frames[-1][0]
        out += block(5, struct.pack("<III", 0, t >> 32, t & 0xFFFFFFFF) + option(5, struct.pack("<Q", dropped)) + option(0, b""))
    return out


def header_sum(ip):
    ip = ip[:10] + b"\0\0" + ip[12:]
    total = sum(struct.unpack(">10H", ip[:20]))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ip[:10] + struct.pack(">H", ~total & 0xFFFF) + ip[12:]


def with_ip(frame, change):
    """The frame with another IP datagram."""
    octets = frame[1][:IP] + header_sum(change(frame[1][IP:]))
    return (frame[0], octets, len(octets))


def with_ttl(frame, ttl):
    return with_ip(frame, lambda ip: ip[:8] + bytes([ttl]) + ip[9:])


def readdressed(frame, src, dst):
    def change(ip):
        ip = ip[:12] + src + dst + ip[20:]
        if ip[9] == 17:
            ip = ip[:26] + b"\0\0" + ip[28:]
        return ip

    return with_ip(frame, change)


def udp(t, like, src, sport, dst, dport, payload, ttl=64):
    """A datagram in a frame with the Ethernet header of another."""
    body = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, 0, ttl, 17, 0, src, dst)
    octets = like[1][:12] + b"\x08\x00" + header_sum(ip) + body
    return (t, octets, len(octets))


def save(name, title, octets, accept, ng=False, count=1, frames=(), outcome=None, stage=None, cause=None, none=False):
    folder = HERE / f"crafted-trap-{name}"
    folder.mkdir(exist_ok=True)
    file = "single.pcapng" if ng else "single.pcap"
    (folder / file).write_bytes(octets)
    expect = {"none": True} if none else {"accept": accept, "count": count, "key_frames": list(frames)}
    truth = {"id": f"crafted-trap-{name}", "title": title, "outcome": outcome, "stage": stage, "cause": cause, "expect": {file: expect}, "made": "crafted-from-real"}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


def accept(outcomes, causes=None, certain=()):
    return [{"outcome": outcomes, "stages": None, "causes": causes, "certain": list(certain)}]


def one_direction():
    frames = load("ikev2-psk-established/client.pcap")
    client = opener(frames)
    kept = [f for f in frames if is_ip(f) and source(f) == client]
    save("one-direction", "only what the client sends; its messages prove that it was answered", pcap(kept), accept(["incomplete"]), count=0)


def started_late():
    late = load("ikev2-gateway-restarted/client.pcap")
    half = late[len(late) // 2 :]
    save("started-late", "the second half of a session that died: nothing of its beginning", pcap(half), accept(["incomplete"]), count=0)


def ends_early():
    frames = [f for f in load("ikev2-psk-mismatch/client.pcap") if is_ip(f)][:3]
    save("ends-early", "IKE_AUTH was just sent when the capture ended", pcap(frames), accept(["incomplete"]), count=0)


def snaplen():
    frames = [(t, o[:96], w) for t, o, w in load("libreswan-ikev2-no-proposal-chosen/client.pcap")]
    save("snaplen", "NO_PROPOSAL_CHOSEN, and an offer cut at 96 octets", pcap(frames), accept(["failed"], ["proposal-mismatch"], ["proposal-mismatch"]), outcome="failed", stage="ike-negotiation", cause="proposal-mismatch")


def offload():
    frames = load("ikev2-esp-pmtu-blackhole/client.pcap")
    client, dice, out, done = opener(frames), random.Random(4), [], False
    for frame in frames:
        if is_ip(frame) and source(frame) == client and frame[2] > 1200 and not done:
            done = True

            def change(ip):
                more = bytes(dice.randrange(256) for _ in range(1600))
                total, length = struct.unpack(">H", ip[2:4])[0] + 1600, struct.unpack(">H", ip[24:26])[0] + 1600
                return ip[:2] + struct.pack(">H", total) + ip[4:24] + struct.pack(">H", length) + b"\0\0" + ip[28:] + more

            frame = with_ip(frame, change)
        out.append(frame)
    save("offload", "the sender's own capture, with a datagram that its card still has to cut", pcap(out), accept(["degraded", "established", "incomplete"]), outcome="degraded", stage="esp-data", cause="pmtu-blackhole")


def decrypted_copy():
    frames = load("l2tp-ipsec-nat-established/gateway.pcap")
    inner = [f for f in load("l2tp-pap-established/gateway.pcap") if is_ip(f)]
    inside = opener(inner)
    ours = [f for f in frames if is_ip(f)]
    client, gateway = opener(ours), ours[0][1][IP + 16 : IP + 20]
    shift = frames[11][0] + 50_000 - inner[0][0]
    # What comes in is seen a second time, decrypted; what goes out is seen encrypted only.
    copies = [readdressed((t + shift, o, w), client, gateway) for t, o, w in inner if o[IP + 12 : IP + 16] == inside]
    both = sorted(frames + copies, key=lambda f: f[0])
    save("decrypted-copy", "a Linux gateway's own capture: L2TP of the client a second time, decrypted", pcap(both), accept(["established"]), outcome="established", stage="esp-data")


def capture_drops():
    frames = load("ikev2-udp500-dropped/client.pcap")
    save("capture-drops", "nothing came back, and the capturing host dropped 37 frames", pcapng(frames, dropped=37), accept(["failed", "incomplete"], ["no-response"]), ng=True, outcome="failed", stage="reachability", cause="no-response")


def capture_holes():
    silent = load("ikev2-udp500-dropped/client.pcap")
    frames, start = list(silent), silent[0][0]
    for name in ("ikev2-psk-established/client.pcap", "ikev2-cookie-then-established/client.pcap", "ikev2-childless/client.pcap"):
        other = [f for f in load(name) if is_ip(f)]
        client = opener(other)
        gateways = [f for f in other if source(f) != client and f[1][IP + 22 : IP + 24] != b"\x11\x94" and f[1][IP + 20 : IP + 22] == b"\x01\xf4"]
        # The answer to IKE_SA_INIT is missing, what follows from it is there.
        frames += [(t - other[0][0] + start + 1000, o, w) for t, o, w in other if (t, o, w) != gateways[-1]]
    frames.sort(key=lambda f: f[0])
    save("capture-holes", "messages are missing from unrelated sessions, and one client hears nothing", pcap(frames), accept(["failed", "incomplete", "established"]), count=4)


def span_copies():
    out = []
    for t, o, w in load("ikev2-udp500-dropped/client.pcap"):
        out.append((t, o, w))
        if is_ip((t, o, w)):
            lower = with_ttl((t, o, w), o[IP + 8] - 1)[1]
            tagged = lower[:12] + b"\x81\x00\x00\x0a" + lower[12:]
            out.append((t + 4000, tagged, len(tagged)))
    save("span-copies", "a span port of two VLANs shows every datagram twice", pcap(out), accept(["failed"], ["no-response"], ["no-response"]), outcome="failed", stage="reachability", cause="no-response")


def time_order():
    frames = [f for f in load("ikev1-phase1-proposal-mismatch/client.pcap")]
    (ta, a, la), (tb, b, lb) = frames[2], frames[3]
    frames[2], frames[3] = (tb, b, lb), (ta, a, la)
    save("time-order", "the answer stands in the file before what it answers", pcap(frames), accept(["failed"], ["proposal-mismatch"]), outcome="failed", stage="ike-negotiation", cause="proposal-mismatch")


def refusal(request):
    """NO_PROPOSAL_CHOSEN to an IKE_SA_INIT request."""
    ike = request[1][IP + 28 :]
    notify = struct.pack(">BBHBBH", 0, 0, 8, 0, 0, 14)
    return ike[:8] + b"\0" * 8 + struct.pack(">BBBBII", 41, 0x20, 34, 0x20, 0, 36) + notify


def forged_error():
    frames = [f for f in load("ikev2-psk-established/client.pcap") if is_ip(f)]
    client, gateway = opener(frames), frames[0][1][IP + 16 : IP + 20]
    forged = udp(frames[0][0] + 200_000, frames[1], gateway, 500, client, 500, refusal(frames[0]), ttl=44)
    save("forged-error", "somebody on the path answers NO_PROPOSAL_CHOSEN first; the gateway accepts", pcap([frames[0], forged] + frames[1:]), accept(["established"]), outcome="established", stage="esp-data")


def doubtful_error():
    frames = load("ikev2-cookie-then-established/client.pcap")[:3]
    client, gateway = opener(frames), frames[0][1][IP + 16 : IP + 20]
    refused = udp(frames[2][0] + 700_000, frames[1], gateway, 500, client, 500, refusal(frames[2]), ttl=200)
    later = udp(frames[2][0] + 9_000_000_000, frames[1], gateway, 40000, client, 40001, b"nothing of ours")
    save("doubtful-error", "the refusal comes from farther away than the gateway's other messages", pcap(frames + [refused, later]), accept(["failed"], ["proposal-mismatch"]), outcome="failed", stage="ike-negotiation", cause="proposal-mismatch")


def own_replay():
    frames = load("ikev2-psk-mismatch/client.pcap")
    client = opener(frames)
    octets = pcapng(frames, ours=lambda f: is_ip(f) and source(f) == client)
    save("own-replay", "the client is vpnscope, which replays a recording", octets, accept(["failed"], ["auth-failed"], ["auth-failed"]), ng=True, outcome="failed", stage="ike-authentication", cause="auth-failed")


def port_collision():
    base = load("ikev2-psk-established/client.pcap")
    like, dice, start = base[2], random.Random(18), base[2][0]
    a, b = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 7])
    noise = lambda n: bytes(dice.randrange(256) for _ in range(n))
    stun = struct.pack(">HHI", 1, 0, 0x2112A442) + noise(12)
    out = []
    for n in range(6):
        t = start + n * 20_000_000
        out.append(udp(t, like, a, 50000 + n, b, 4500, stun))
        # RTP, and QUIC with a long header, version 1.
        out.append(udp(t + 1000, like, a, 4500, b, 40000, struct.pack(">BBHII", 0x80, 0, n, n * 160, 7)))
        out.append(udp(t + 2000, like, a, 40000, b, 500, struct.pack(">BI", 0xC3, 1) + b"\x08" + noise(8) + b"\0\0" + noise(40)))
        out.append(udp(t + 3000, like, a, 40001, b, 1701, b"not l2tp at all, %d" % n))
    save("port-collision", "STUN, RTP, QUIC and noise on the ports of IKE and L2TP", pcap(out), None, none=True)


def host_firewall():
    frames = load("ikev2-response-lost/gateway.pcap")
    client = opener(frames)
    out = [with_ttl(f, 64 if source(f) == client else 57) if is_ip(f) else f for f in frames]
    save("host-firewall", "at the client's own card the answers arrive, and it asks again", pcap(out), accept(["failed"], ["response-lost", "no-response"]), outcome="failed", stage="reachability", cause="response-lost")


def expires_soon():
    frames = load("oc-established-tls12/client.pcap")
    # The certificates of these captures are valid for ten years less three days.
    shift = (3650 - 12) * 86_400 * 10**9
    folder = "expires-soon"
    out = [(t + shift, o, w) for t, o, w in frames]
    save(folder, "the gateway's certificate expires twelve days after the capture", pcap(out), accept(["established"]), outcome="established", stage="tunnel-data")


for craft in (one_direction, started_late, ends_early, snaplen, offload, decrypted_copy, capture_drops, capture_holes, span_copies, time_order, forged_error, doubtful_error, own_replay, port_collision, host_firewall, expires_soon):
    craft()
