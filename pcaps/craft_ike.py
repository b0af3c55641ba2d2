#!/usr/bin/env python3
"""Crafts the IKEv2 and ESP captures for which no daemon could be brought to fail: craft_ike.py

Writes crafted-*/ beside this file, each with single.pcap and truth.json. Everything is made by code with
a fixed seed; encrypted parts are random octets of the right length.
"""
import hashlib, json, random, struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
SA, KE, NONCE, NOTIFY, SK = 33, 34, 40, 41, 46
INIT, AUTH, CHILD, INFO = 34, 35, 36, 37
CLIENT, OTHER, GATEWAY = "203.0.113.1", "203.0.113.2", "198.51.100.10"
START = 1_790_000_000.0


class Wire:
    """Frames of one capture."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.frames = []
        self.ident = 1

    def octets(self, n):
        return bytes(self.dice.randrange(256) for _ in range(n))

    def udp(self, t, src, sport, dst, dport, payload, ttl=None):
        udp = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
        self.ip(t, src, dst, 17, udp, ttl)
        return len(self.frames)

    def ip(self, t, src, dst, protocol, body, ttl=None):
        ttl = ttl or (64 if src == GATEWAY else 58)
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), self.ident, 0, ttl, protocol, 0, addr(src), addr(dst))
        self.ident += 1
        total = sum(struct.unpack(">10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        head = head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:]
        mac = bytes.fromhex("020000000001020000000002")
        self.frames.append((t, mac + b"\x08\x00" + head + body))
        return len(self.frames)

    def icmp_unreachable(self, t, src, dst, quoted_frame):
        quoted = self.frames[quoted_frame - 1][1][14 : 14 + 48]
        return self.ip(t, src, dst, 1, struct.pack(">BBHI", 3, 3, 0, 0) + quoted)

    def write(self, path):
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for t, octets in sorted(self.frames, key=lambda x: x[0]):
                us = round((START + t) * 1e6)
                f.write(struct.pack("<IIII", us // 1_000_000, us % 1_000_000, len(octets), len(octets)) + octets)


def addr(text):
    return bytes(int(part) for part in text.split("."))


def message(ispi, rspi, exchange, flags, mid, payloads, first=None):
    body = b""
    for i, (_, content) in enumerate(payloads):
        following = payloads[i + 1][0] if i + 1 < len(payloads) else 0
        body += struct.pack(">BBH", following, 0, 4 + len(content)) + content
    head = struct.pack(">QQBBBBII", ispi, rspi, first or (payloads[0][0] if payloads else 0), 0x20, exchange, flags, mid, 28 + len(body))
    return head + body


def sealed(w, ispi, rspi, exchange, flags, mid, length, inner=41):
    """A message of one SK payload, `length` octets in all."""
    body = w.octets(length - 32)
    head = struct.pack(">QQBBBBII", ispi, rspi, SK, 0x20, exchange, flags, mid, length)
    return head + struct.pack(">BBH", inner, 0, 4 + len(body)) + body


def notify(kind, data=b""):
    return (NOTIFY, struct.pack(">BBH", 0, 0, kind) + data)


def transform(kind, number, bits=None, last=False):
    attribute = struct.pack(">HH", 0x800E, bits) if bits else b""
    return struct.pack(">BBHBBH", 0 if last else 3, 0, 8 + len(attribute), kind, 0, number) + attribute


def proposal(groups=(14,)):
    """AES-CBC-256, HMAC-SHA2-256-128, PRF-HMAC-SHA2-256 and these groups."""
    parts = [transform(1, 12, 256), transform(3, 12), transform(2, 5)]
    parts += [transform(4, g, last=g == groups[-1]) for g in groups]
    body = b"".join(parts)
    return (SA, struct.pack(">BBHBBBB", 0, 0, 8 + len(body), 1, 1, 0, len(parts)) + body)


def key(w, group):
    size = {2: 128, 14: 256, 19: 64, 31: 32}[group]
    return (KE, struct.pack(">HH", group, 0) + w.octets(size))


def natd(kind, ispi, rspi, ip, port):
    return notify(kind, hashlib.sha1(struct.pack(">QQ", ispi, rspi) + addr(ip) + struct.pack(">H", port)).digest())


class Attempt:
    """One client's attempt, seen at the gateway."""

    def __init__(self, w, client=CLIENT, port=500, private="10.1.0.10", natt=4500):
        self.w, self.client, self.port, self.natt, self.private = w, client, port, natt, private
        self.ispi, self.rspi = w.dice.getrandbits(64) | 1, w.dice.getrandbits(64) | 1
        self.mid = 0

    def request(self, groups=(14,), group=None, extra=()):
        group = group or groups[0]
        nat = [natd(16388, self.ispi, 0, self.private, 500), natd(16389, self.ispi, 0, GATEWAY, 500)]
        return message(self.ispi, 0, INIT, 0x08, 0, [*extra, proposal(groups), key(self.w, group), (NONCE, self.w.octets(32)), *nat])

    def accept(self, group=14, rspi=None):
        rspi = rspi or self.rspi
        nat = [natd(16388, self.ispi, rspi, GATEWAY, 500), natd(16389, self.ispi, rspi, self.client, self.port)]
        return message(self.ispi, rspi, INIT, 0x20, 0, [proposal((group,)), key(self.w, group), (NONCE, self.w.octets(32)), *nat])

    def refuse(self, kind, data=b""):
        return message(self.ispi, 0, INIT, 0x20, 0, [notify(kind, data)])

    def up(self, t, octets, ttl=None, port=None):
        return self.w.udp(t, self.client, port or self.port, GATEWAY, 500, octets, ttl)

    def down(self, t, octets, ttl=None, port=None):
        return self.w.udp(t, GATEWAY, 500, self.client, port or self.port, octets, ttl)

    def up4500(self, t, octets, marker=b"\0\0\0\0", port=None):
        return self.w.udp(t, self.client, port or self.natt, GATEWAY, 4500, marker + octets)

    def down4500(self, t, octets, port=None, ttl=None):
        return self.w.udp(t, GATEWAY, 4500, self.client, port or self.natt, b"\0\0\0\0" + octets, ttl)

    def sealed(self, exchange, flags, mid, length, inner=41):
        return sealed(self.w, self.ispi, self.rspi, exchange, flags, mid, length, inner)

    def negotiate(self, t):
        self.up(t, self.request())
        self.down(t + 0.002, self.accept())

    def connect(self, t):
        """Negotiation and a granted tunnel; gives the SPIs of both directions."""
        self.negotiate(t)
        self.up4500(t + 0.03, self.sealed(AUTH, 0x08, 1, 336, 35))
        self.down4500(t + 0.034, self.sealed(AUTH, 0x20, 1, 272, 36))
        self.esp_up, self.esp_down = self.w.dice.getrandbits(32) | 0x10000, self.w.dice.getrandbits(32) | 0x10000
        self.sent = self.received = 0

    def esp(self, t, up=True, sequence=None, port=None, length=120):
        if up:
            self.sent += 1
            n = sequence or self.sent
            return self.w.udp(t, self.client, port or self.natt, GATEWAY, 4500, struct.pack(">II", self.esp_up, n) + self.w.octets(length))
        self.received += 1
        n = sequence or self.received
        return self.w.udp(t, GATEWAY, 4500, self.client, port or self.natt, struct.pack(">II", self.esp_down, n) + self.w.octets(length))

    def talk(self, since, until, step=0.25):
        t = since
        while t < until:
            self.esp(t)
            self.esp(t + 0.004, up=False)
            t += step


def accept(outcome, stage, cause, certain=True):
    causes = [cause] if isinstance(cause, str) else cause
    return [{"outcome": [outcome] if isinstance(outcome, str) else outcome, "stages": [stage] if isinstance(stage, str) else stage, "causes": causes, "certain": causes if certain and causes else []}]


def save(name, title, w, accept, key_frames=(), count=1, sessions=None, outcome="failed", stage=None, cause=None):
    folder = HERE / f"crafted-{name}"
    folder.mkdir(exist_ok=True)
    w.write(folder / "single.pcap")
    expect = {"accept": accept, "count": count, "key_frames": sorted(key_frames)}
    if sessions:
        expect["sessions"] = sessions
    truth = {"id": f"crafted-{name}", "title": title, "peers": {"client": "crafted", "gateway": "crafted"}, "outcome": outcome, "stage": stage, "cause": cause, "expect": {"single.pcap": expect}, "made": "crafted"}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


def end(w, t):
    """Something else, so that the capture is known to go on until then."""
    w.udp(t, "192.0.2.7", 40000, "192.0.2.53", 5353, b"nothing of ours")


def cookie_loop():
    w = Wire(1)
    a = Attempt(w)
    ke, nonce = key(w, 14), (NONCE, w.octets(32))
    frames, cookie = [], None
    for n in range(5):
        extra = [notify(16390, cookie)] if cookie else []
        request = message(a.ispi, 0, INIT, 0x08, 0, [*extra, proposal(), ke, nonce])
        a.up(n * 1.0, request, port=500 + 7 * n)
        cookie = w.octets(24)
        frames.append(a.down(n * 1.0 + 0.002, a.refuse(16390, cookie), port=500 + 7 * n))
    end(w, 20)
    save("cookie-loop", "The gateway asks for a new cookie in every round: the NAT changes the port each time", w, accept("failed", "ike-negotiation", "cookie-loop"), frames, stage="ike-negotiation", cause="cookie-loop")


def ke_group():
    w = Wire(2)
    a = Attempt(w)
    first = a.up(0, a.request((2,)))
    answer = a.down(0.002, a.refuse(17, struct.pack(">H", 14)))
    end(w, 30)
    save("ke-group-mismatch", "The gateway asks for group 14, the client knows only group 2 and gives up", w, accept("failed", "ike-negotiation", "ke-group-mismatch"), [first, answer], stage="ike-negotiation", cause="ke-group-mismatch")
    w = Wire(3)
    a = Attempt(w)
    a.up(0, a.request((19, 14)))
    a.down(0.002, a.refuse(17, struct.pack(">H", 14)))
    a.up(0.01, a.request((19, 14), 14))
    a.down(0.014, a.accept())
    a.up4500(0.03, a.sealed(AUTH, 0x08, 1, 336, 35))
    a.down4500(0.034, a.sealed(AUTH, 0x20, 1, 272, 36))
    a.esp_up, a.esp_down, a.sent, a.received = 0xC0FFEE01, 0xC0FFEE02, 0, 0
    a.talk(0.1, 2)
    save("ke-group-retried", "The gateway asks for group 14, the client comes back with it: established", w, accept("established", None, None), outcome="established")


def no_peer_config():
    w = Wire(4)
    a = Attempt(w)
    a.connect(0)
    a.talk(0.1, 3)
    b = Attempt(w, OTHER, private="10.9.0.5")
    first = b.up(1.0, b.request())
    answer = b.down(1.002, b.refuse(14))
    end(w, 20)
    save("no-peer-config", "The gateway refuses an offer that it accepted from another client", w, accept("failed", "ike-negotiation", ["no-peer-config"], False), [first, answer], 2,
         {CLIENT: accept("established", None, None), OTHER: accept("failed", "ike-negotiation", "no-peer-config")}, stage="ike-negotiation", cause="no-peer-config")


def error_ignored():
    w = Wire(5)
    a = Attempt(w)
    request, answer, frames = a.request(), a.refuse(14), []
    for t in (0, 4, 11.2, 24.2):
        frames.append(a.up(t, request))
        frames.append(a.down(t + 0.002, answer))
    end(w, 60)
    save("error-ignored", "NO_PROPOSAL_CHOSEN each time, and the client goes on sending the same request", w, accept("failed", "ike-negotiation", ["proposal-mismatch", "error-ignored"]), frames, stage="ike-negotiation", cause="proposal-mismatch")


def malformed():
    w = Wire(6)
    a = Attempt(w)
    body = a.request()
    # The KE payload says that it is longer than the message.
    at = body.index(struct.pack(">BBH", NONCE, 0, 4 + 4 + 256))
    broken = body[:at] + struct.pack(">BBH", NONCE, 0, 2000) + body[at + 4 :]
    frames = [a.up(t, broken) for t in (0, 1, 3, 7)]
    frames += [a.down(t + 0.002, a.refuse(7)) for t in (0, 1, 3, 7)]
    w.frames.sort(key=lambda f: f[0])
    end(w, 40)
    save("malformed-message", "The client's key exchange payload claims more octets than the message has: INVALID_SYNTAX", w, accept("failed", "ike-negotiation", "malformed-message"), range(1, 9), stage="ike-negotiation", cause="malformed-message")


def marker():
    w = Wire(7)
    a = Attempt(w)
    a.negotiate(0)
    request = a.sealed(AUTH, 0x08, 1, 336, 35)
    frames = [a.up4500(0.03 + t, request, marker=b"") for t in (0, 1, 3, 7, 15)]
    end(w, 60)
    save("non-esp-marker-missing", "IKE_AUTH goes to UDP 4500 without the four zero octets: the gateway takes it for ESP", w, accept("failed", "ike-nat-traversal", "non-esp-marker-missing"), frames, stage="ike-nat-traversal", cause="non-esp-marker-missing")


def port_split():
    w = Wire(8)
    a = Attempt(w, natt=31044)
    a.connect(0)
    frames = []
    for n in range(12):
        t = 0.2 + n * 0.4
        frames.append(a.esp(t, port=52110))
        if n % 2:
            a.esp(t + 0.01, up=False)
    end(w, 12)
    save("nat-port-split", "IKE comes from port 31044, ESP in UDP from port 52110: the gateway answers to the first", w, accept(["failed", "degraded"], "esp-data", "nat-port-split"), frames, stage="esp-data", cause="nat-port-split")


def same_nat():
    w = Wire(9)
    a, b = Attempt(w, natt=4500), Attempt(w, port=1025, private="10.1.0.11", natt=1026)
    a.connect(0)
    a.talk(0.1, 5)
    b.connect(5.0)
    b.talk(5.1, 12)
    frames = [a.esp(5.3 + n * 0.25) for n in range(24)]
    end(w, 16)
    w.frames.sort(key=lambda f: f[0])
    starts = [n for n, (t, o) in enumerate(w.frames, 1) if 5.05 < t and o[34:36] == struct.pack(">H", 4500) and o[26:30] == addr(CLIENT)]
    save("clients-behind-same-nat", "A second client behind the same NAT comes up, and the first one's data stops coming back", w, accept("failed", "esp-data", ["clients-behind-same-nat"], False), starts, 2, outcome="failed", stage="esp-data", cause="clients-behind-same-nat")
    del frames


def rate_limited():
    w = Wire(10)
    for n in range(5):
        a = Attempt(w, port=500 + n)
        a.up(n * 2.0, a.request())
        a.down(n * 2.0 + 0.002, a.refuse(16390, w.octets(24)))
    a = Attempt(w, port=510)
    request = a.request()
    for t in (12, 16, 23, 36):
        a.up(t, request)
    b = Attempt(w, OTHER, private="10.9.0.5")
    b.connect(20)
    b.talk(20.1, 40, 1.0)
    end(w, 80)
    w.frames.sort(key=lambda f: f[0])
    keys = [n for n, (t, o) in enumerate(w.frames, 1) if t >= 12 and o[26:30] == addr(CLIENT)]
    save("rate-limited-by-gateway", "After five attempts the gateway is silent to this source, while it answers another one", w, accept("failed", "reachability", ["rate-limited-by-gateway"], False), keys, 2, stage="reachability", cause="rate-limited-by-gateway")


def replay_drops():
    w = Wire(11)
    a = Attempt(w)
    a.connect(0)
    frames, late = [], []
    for n in range(1, 401):
        t = 0.1 + n * 0.01
        if n % 8 == 0:
            late.append(n)
        else:
            a.esp(t, sequence=n)
            a.esp(t + 0.002, up=False)
        # A slow queue lets these go a hundred packets later.
        if late and n - late[0] >= 104:
            frames.append(a.esp(t + 0.005, sequence=late.pop(0)))
    end(w, 8)
    save("replay-drops", "Every eighth ESP packet comes a hundred packets late: outside the usual replay window of 64", w, accept("degraded", "esp-data", ["replay-drops"], False), frames, outcome="degraded", stage="esp-data", cause="replay-drops")


def backends():
    w = Wire(12)
    a = Attempt(w)
    request = a.request()
    other = w.dice.getrandbits(64) | 1
    frames = [a.up(0, request), a.down(0.4, a.accept(), ttl=61), a.up(0.3, request), a.down(0.42, a.accept(rspi=other), ttl=57)]
    auth = a.sealed(AUTH, 0x08, 1, 336, 35)
    for t in (0.5, 1.5, 3.5, 7.5):
        a.up4500(t, auth)
    end(w, 40)
    w.frames.sort(key=lambda f: f[0])
    save("different-backends", "Two nodes behind one address answer the same request, each with its own SPI; neither answers what follows", w, accept("failed", ["ike-nat-traversal", "ike-authentication", "ike-negotiation"], ["different-backends"], False), [3, 4], stage="ike-authentication", cause="different-backends")
    del frames


def storm():
    w = Wire(13)
    a = Attempt(w)
    a.connect(0)
    a.talk(0.1, 2)
    asked = a.sealed(CHILD, 0x00, 0, 208, 33)
    answer = a.sealed(CHILD, 0x28, 0, 208, 33)
    frames = []
    for n in range(60):
        t = 2.5 + n * 0.1
        frames.append(a.down4500(t, asked))
        frames.append(a.up4500(t + 0.03, answer))
    a.talk(3, 9)
    end(w, 12)
    w.frames.sort(key=lambda f: f[0])
    keys = [n for n, (t, o) in enumerate(w.frames, 1) if len(o) == 14 + 28 + 4 + 208 and t > 2]
    save("retransmission-storm", "The gateway repeats an answered CREATE_CHILD_SA ten times a second", w, accept("degraded", "ipsec-child", ["retransmission-storm"], False), keys, outcome="degraded", stage="ipsec-child", cause="retransmission-storm")


def slow_keepalive():
    w = Wire(14)
    a = Attempt(w)
    a.connect(0)
    a.talk(0.1, 1200, 150)
    save("keepalive-too-slow", "A client behind a NAT that is silent for minutes; it works as long as the NAT remembers", w, accept("established", None, None), outcome="established")


def fragments():
    w = Wire(15)
    a = Attempt(w)
    a.negotiate(0)
    request = b"\0\0\0\0" + a.sealed(AUTH, 0x08, 1, 2400, 35)
    udp = struct.pack(">HHHH", 4500, 4500, 8 + len(request), 0) + request
    ident = 77
    for t, offset, part, more in ((0.03, 0, udp[:1480], True), (0.0301, 1480, udp[1480:], False)):
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(part), ident, (0x2000 if more else 0) | offset // 8, 58, 17, 0, addr(CLIENT), addr(GATEWAY))
        total = sum(struct.unpack(">10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        head = head[:10] + struct.pack(">H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[12:]
        w.frames.append((t, bytes.fromhex("020000000001020000000002") + b"\x08\x00" + head + part))
    a.down4500(0.04, a.sealed(AUTH, 0x20, 1, 1200, 36))
    a.esp_up, a.esp_down, a.sent, a.received = 0xBEEF0001, 0xBEEF0002, 0, 0
    a.talk(0.1, 2)
    save("no-ike-fragmentation", "A large IKE_AUTH in IP fragments, which this path lets through", w, accept("established", None, None), outcome="established")


if __name__ == "__main__":
    for make in (cookie_loop, ke_group, no_peer_config, error_ignored, malformed, marker, port_split, same_nat, rate_limited, replay_drops, backends, storm, slow_keepalive, fragments):
        make()
