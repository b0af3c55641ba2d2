#!/usr/bin/env python3
"""Crafts the IKEv1 captures for which no daemon could be brought to act: craft_ike1.py

Writes crafted-ikev1-*/ beside this file. Formats after RFC 2407 to 2409, 3706 and 3947; encrypted parts are
random octets of the right length, and all is the same in every run.
"""
import hashlib, struct
from craft_ike import CLIENT, GATEWAY, OTHER, Wire, accept, addr, end, save

SA, PROPOSAL, TRANSFORM, KE, ID, HASH, NONCE, NOTIFY, VENDOR, NATD = 1, 2, 3, 4, 5, 8, 10, 11, 13, 20
BASE, MAIN, AGGRESSIVE, INFO, TRANSACTION, QUICK = 1, 2, 4, 5, 6, 32
RFC3947 = hashlib.md5(b"RFC 3947").digest()
DPD = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")
XAUTH = bytes.fromhex("09002689dfd6b712")
WINDOWS = hashlib.md5(b"MS NT5 ISAKMPOAKLEY").digest() + struct.pack(">I", 8)
INITIAL_CONTACT = hashlib.md5(b"Vid-Initial-Contact").digest()[:16]
MARKER = b"\0\0\0\0"
PSK, XAUTH_PSK = 1, 65001


def attribute(code, value):
    return struct.pack(">HH", 0x8000 | code, value)


def suite(group=14, method=PSK, cipher=7, bits=256, digest=2):
    key = attribute(14, bits) if bits else b""
    return attribute(1, cipher) + key + attribute(2, digest) + attribute(3, method) + attribute(4, group) + attribute(11, 1) + attribute(12, 28800)


def offer(*suites):
    parts = b""
    for n, attributes in enumerate(suites, 1):
        following = 0 if n == len(suites) else TRANSFORM
        parts += struct.pack(">BBHBBH", following, 0, 8 + len(attributes), n, 1, 0) + attributes
    proposal = struct.pack(">BBHBBBB", 0, 0, 8 + len(parts), 1, 1, 0, len(suites)) + parts
    return (SA, struct.pack(">II", 1, 1) + proposal)


class Peers:
    """Client and gateway; NAT between them unless the client has `private` as its own address."""

    def __init__(self, w, client=CLIENT, port=500, private=None, method=PSK, behind=None):
        self.w, self.client, self.port, self.method = w, client, port, method
        self.private, self.behind = private or client, behind or GATEWAY
        self.i, self.r = w.dice.getrandbits(64) | 1, w.dice.getrandbits(64) | 1
        # The router in front of a gateway behind a NAT takes one.
        self.ttl = 64 if self.behind == GATEWAY else 63
        self.natt = self.private != client or self.behind != GATEWAY
        self.esp = {True: w.dice.getrandbits(32) | 0x10000, False: w.dice.getrandbits(32) | 0x10000}
        self.counts = {True: 0, False: 0}

    def message(self, exchange, payloads, mid=0, responder=True):
        body = b""
        for n, (_, content) in enumerate(payloads):
            following = payloads[n + 1][0] if n + 1 < len(payloads) else 0
            body += struct.pack(">BBH", following, 0, 4 + len(content)) + content
        return struct.pack(">QQBBBBII", self.i, self.r if responder else 0, payloads[0][0], 0x10, exchange, 0, mid, 28 + len(body)) + body

    def sealed(self, exchange, length, mid=0, first=HASH):
        assert (length - 28) % 16 == 0
        return struct.pack(">QQBBBBII", self.i, self.r, first, 0x10, exchange, 1, mid, length) + self.w.octets(length - 28)

    def mid(self):
        return self.w.dice.getrandbits(32) | 1

    def natd(self, ip, port):
        return (NATD, hashlib.sha1(struct.pack(">QQ", self.i, self.r) + addr(ip) + struct.pack(">H", port)).digest())

    def up(self, t, octets, floated=False):
        port, to, marker = (4500, 4500, MARKER) if floated and self.natt else (self.port, 500, b"")
        return self.w.udp(t, self.client, port, GATEWAY, to, marker + octets)

    def down(self, t, octets, floated=False):
        port, to, marker = (4500, 4500, MARKER) if floated and self.natt else (500, self.port, b"")
        return self.w.udp(t, GATEWAY, port, self.client, to, marker + octets, self.ttl)

    # -------------------------------------------------------------------- phase 1
    def four(self, t, offers=None, vendors=(RFC3947, DPD), chosen=None):
        """Main mode 1 to 4."""
        offers = offers or [suite(method=self.method)]
        vendors = [(VENDOR, v) for v in vendors]
        self.up(t, self.message(MAIN, [offer(*offers), *vendors], responder=False))
        self.down(t + 0.002, self.message(MAIN, [offer(chosen or offers[0]), *vendors]))
        key = lambda: (KE, self.w.octets(256))
        nonce = lambda: (NONCE, self.w.octets(20))
        self.up(t + 0.01, self.message(MAIN, [key(), nonce(), self.natd(GATEWAY, 500), self.natd(self.private, 500)]))
        self.down(t + 0.014, self.message(MAIN, [key(), nonce(), self.natd(self.client, self.port), self.natd(self.behind, 500)]))

    def main(self, t, **kind):
        """All of main mode; gives the frames of messages 5 and 6."""
        self.four(t, **kind)
        return [self.up(t + 0.02, self.sealed(MAIN, 76, first=ID), True), self.down(t + 0.024, self.sealed(MAIN, 76, first=ID), True)]

    # -------------------------------------------------------------------- the rest
    def exchange(self, t, kind, lengths, from_client=True, mid=None):
        mid = mid or self.mid()
        frames = []
        for n, length in enumerate(lengths):
            send = self.up if from_client == (n % 2 == 0) else self.down
            frames.append(send(t + n * 0.004, self.sealed(kind, length, mid), True))
        return frames

    def quick(self, t):
        return self.exchange(t, QUICK, (172, 172, 60))

    def data(self, t, up=True):
        self.counts[up] += 1
        packet = struct.pack(">II", self.esp[up], self.counts[up]) + self.w.octets(120)
        source, destination = (self.client, GATEWAY) if up else (GATEWAY, self.client)
        if self.natt:
            return self.w.udp(t, source, 4500, destination, 4500, packet)
        return self.w.ip(t, source, destination, 50, packet)

    def talk(self, since, until, step=0.5):
        while since < until:
            self.data(since)
            self.data(since + 0.005, up=False)
            since += step


def error(kind):
    return (NOTIFY, struct.pack(">IBBH", 1, 1, 0, kind))


def frames_of(w, wanted):
    """Frame numbers in order of time."""
    w.frames.sort(key=lambda f: f[0])
    return [n for n, frame in enumerate(w.frames, 1) if wanted(*frame)]


def mode_config_interleaved():
    w = Wire(101)
    p = Peers(w)
    p.main(0)
    old, new = p.mid(), p.mid()
    p.up(0.05, p.sealed(QUICK, 172, old))
    # The gateway pushes an address before it answers; the client begins anew with it.
    p.exchange(0.06, TRANSACTION, (92, 76), from_client=False)
    p.exchange(0.10, QUICK, (172, 172, 60), mid=new)
    late = p.sealed(QUICK, 172, old)
    for t in (0.2, 10.2, 20.2, 30.2, 40.2):
        p.down(t, late)
    p.talk(0.3, 45, 1.0)
    end(w, 60)
    keys = frames_of(w, lambda t, o: len(o) == 14 + 28 + 172 and t > 0.04 and struct.pack(">I", old) in o[:70])
    save("ikev1-mode-config-interleaved", "A router pushes mode config into a quick mode; the client gives that one up and makes the tunnel with another, while the router repeats the old one", w,
         accept("established", None, None), keys, outcome="established")


def mode_config_abandoned():
    """The same without the second quick mode: now the repetitions are the fault."""
    w = Wire(102)
    p = Peers(w)
    p.main(0)
    old = p.mid()
    p.up(0.05, p.sealed(QUICK, 172, old))
    p.exchange(0.06, TRANSACTION, (92, 76), from_client=False)
    late = p.sealed(QUICK, 172, old)
    for t in (0.2, 10.2, 20.2, 30.2, 40.2):
        p.down(t, late)
    end(w, 60)
    keys = frames_of(w, lambda t, o: t > 0.19 and len(o) == 14 + 28 + 172)
    save("ikev1-quick-mode-abandoned", "As before, but the client never begins another quick mode", w, accept("failed", "ipsec-child", ["no-response", "response-lost", "request-never-arrived"], False), keys,
         stage="ipsec-child", cause="no-response")


def router_pushes():
    w = Wire(103)
    p = Peers(w, private="10.1.0.10")
    p.main(0)
    # Mode config without XAUTH, begun by the gateway.
    p.exchange(0.04, TRANSACTION, (92, 76), from_client=False)
    p.quick(0.07)
    p.talk(0.1, 6)
    end(w, 20)
    save("ikev1-router-pushes-config", "The gateway begins mode config and sets the address; no XAUTH", w, accept("established", None, None), outcome="established")


def config_before_login():
    w = Wire(104)
    p = Peers(w, private="10.1.0.10", method=XAUTH_PSK)
    p.main(0, vendors=(RFC3947, DPD, XAUTH))
    p.exchange(0.03, TRANSACTION, (92, 92))
    p.exchange(0.05, TRANSACTION, (76, 92), from_client=False)
    p.exchange(4.0, TRANSACTION, (76, 76), from_client=False)
    p.quick(4.1)
    p.talk(4.2, 9)
    end(w, 20)
    save("ikev1-mode-config-before-xauth", "The client asks for its address before the gateway asks for the login", w, accept("established", None, None), outcome="established")


def no_address():
    w = Wire(105)
    p = Peers(w, private="10.1.0.10", method=XAUTH_PSK)
    p.main(0, vendors=(RFC3947, DPD, XAUTH))
    p.exchange(0.03, TRANSACTION, (76, 92), from_client=False)
    p.exchange(0.5, TRANSACTION, (76, 76), from_client=False)
    frames = p.exchange(0.52, TRANSACTION, (92, 76))
    frames += [p.up(0.53, p.sealed(INFO, 92, p.mid()), True)]
    end(w, 30)
    save("ikev1-mode-config-no-address", "XAUTH succeeds, the answer to mode config has no address in it, and the client leaves", w, accept("failed", "ike-configuration", ["config-no-address"], False), frames,
         stage="ike-configuration", cause="config-no-address")


def id_mismatch():
    w = Wire(106)
    p = Peers(w, private="10.1.0.10")
    p.four(0)
    frames = [p.up(0.02, p.sealed(MAIN, 76, first=ID), True), p.down(0.024, p.sealed(INFO, 76, p.mid()), True)]
    end(w, 60)
    save("ikev1-id-mismatch", "The gateway reads main mode 5, knows nobody of that name, and says so in one encrypted message", w, accept("failed", "ike-authentication", ["id-mismatch", "auth-failed"], False), frames,
         stage="ike-authentication", cause="id-mismatch")


def psk_in_clear():
    w = Wire(107)
    p = Peers(w)
    p.four(0)
    fifth = p.sealed(MAIN, 76, first=ID)
    frames = []
    for t in (0.02, 4.02, 11.02, 24.02):
        frames += [p.up(t, fifth), p.down(t + 0.003, p.message(INFO, [error(16)], p.mid()))]
    end(w, 60)
    save("ikev1-psk-mismatch-payload-malformed", "Main mode 5 decrypts to nonsense: the gateway answers PAYLOAD-MALFORMED in clear each time", w, accept("failed", "ike-authentication", ["psk-mismatch"], False), frames,
         stage="ike-authentication", cause="psk-mismatch")


def responder_behind_nat():
    for complete in (False, True):
        w = Wire(108 + complete)
        p = Peers(w, behind="192.168.7.2")
        frames = p.main(0, vendors=(WINDOWS, RFC3947, INITIAL_CONTACT))
        if complete:
            p.quick(0.04)
            p.talk(0.1, 4)
            end(w, 20)
            save("ikev1-gateway-behind-nat-established", "A Windows client that was told to accept a gateway behind a NAT", w, accept("established", None, None), outcome="established")
        else:
            # It keeps phase 1, and never asks for a tunnel.
            end(w, 60)
            save("ikev1-gateway-behind-nat", "A Windows client finds the gateway behind a NAT and stops after main mode", w, accept("failed", ["ike-nat-traversal", "ipsec-child"], ["nat-t-responder-behind-nat"], False),
                 [4, *frames], stage="ike-nat-traversal", cause="nat-t-responder-behind-nat")


def phase2_not_started():
    w = Wire(110)
    p = Peers(w)
    frames = p.main(0)
    # Liveness checks, answered.
    for t in (20, 40, 60):
        p.exchange(t, INFO, (92,), from_client=False)
        p.exchange(t + 0.003, INFO, (92,))
    end(w, 75)
    save("ikev1-phase2-not-started", "Phase 1 is up, checked for liveness, and nobody asks for a tunnel", w, accept(["failed", "incomplete"], ["ipsec-child", "ike-authentication"], ["phase2-not-started"], False), frames,
         stage="ipsec-child", cause="phase2-not-started")


def versions():
    w = Wire(111)
    p = Peers(w)
    first = p.message(MAIN, [offer(suite()), (VENDOR, DPD)], responder=False)
    # INVALID_MAJOR_VERSION of IKEv2, with the client's cookie as SPI.
    answer = struct.pack(">QQBBBBII", p.i, 0, 41, 0x20, 34, 0x20, 0, 36) + struct.pack(">BBHBBH", 0, 0, 8, 0, 0, 5)
    frames = []
    for t in (0, 4, 11, 24):
        frames += [p.up(t, first), p.down(t + 0.002, answer)]
    end(w, 60)
    save("ikev1-answered-in-ikev2", "The gateway speaks IKEv2 only", w, accept("failed", "ike-negotiation", ["version-mismatch", "error-ignored"]), frames, stage="ike-negotiation", cause="version-mismatch")
    w = Wire(112)
    p = Peers(w)
    body = b"".join(struct.pack(">BBH", n, 0, 4 + len(c)) + c for n, c in ((34, _proposal2()), (40, struct.pack(">HH", 14, 0) + w.octets(256)), (0, w.octets(32))))
    request = struct.pack(">QQBBBBII", p.i, 0, 33, 0x20, 34, 0x08, 0, 28 + len(body)) + body
    frames = []
    for t in (0, 4, 11, 24):
        frames += [p.up(t, request), p.down(t + 0.002, struct.pack(">QQBBBBII", p.i, p.r, NOTIFY, 0x10, INFO, 0, 0, 40) + struct.pack(">BBHIBBH", 0, 0, 12, 1, 1, 0, 5))]
    end(w, 60)
    save("ikev2-answered-in-ikev1", "The gateway speaks IKEv1 only and answers INVALID-MAJOR-VERSION", w, accept("failed", "ike-negotiation", ["version-mismatch", "error-ignored"]), frames, stage="ike-negotiation", cause="version-mismatch")


def _proposal2():
    parts = [(1, 12, 0x800E0100), (3, 12, None), (2, 5, None), (4, 14, None)]
    body = b""
    for n, (kind, number, bits) in enumerate(parts):
        extra = struct.pack(">I", bits) if bits else b""
        body += struct.pack(">BBHBBH", 0 if n == 3 else 3, 0, 8 + len(extra), kind, 0, number) + extra
    return struct.pack(">BBHBBBB", 0, 0, 8 + len(body), 1, 1, 0, 4) + body


def no_peer_config():
    w = Wire(113)
    a = Peers(w)
    a.main(0)
    a.quick(0.04)
    a.talk(0.1, 4)
    b = Peers(w, OTHER)
    first = b.message(MAIN, [offer(suite()), (VENDOR, DPD)], responder=False)
    b.up(1.0, first)
    b.down(1.002, b.message(INFO, [error(14)], b.mid()))
    end(w, 20)
    keys = frames_of(w, lambda t, o: addr(OTHER) in o[26:34])
    save("ikev1-no-peer-config", "The gateway refuses an offer that it accepted from another client", w, accept("failed", "ike-negotiation", ["no-peer-config"], False), keys, 2,
         {CLIENT: accept("established", None, None), OTHER: accept("failed", "ike-negotiation", ["no-peer-config"], False)}, stage="ike-negotiation", cause="no-peer-config")


def xauth_second_try():
    w = Wire(114)
    p = Peers(w, private="10.1.0.10", method=XAUTH_PSK)
    p.main(0, vendors=(RFC3947, DPD, XAUTH))
    # A wrong password: the gateway asks again, in an exchange of its own, and then lets the user in.
    for t in (0.03, 9.0):
        p.exchange(t, TRANSACTION, (76, 92), from_client=False)
    p.exchange(16.0, TRANSACTION, (76, 76), from_client=False)
    p.exchange(16.02, TRANSACTION, (92, 92))
    p.quick(16.04)
    p.talk(16.1, 20)
    end(w, 30)
    save("ikev1-xauth-second-try", "The first password is wrong, the second one right", w, accept("established", None, None), outcome="established")


def silence():
    w = Wire(115)
    p = Peers(w)
    first = p.message(MAIN, [offer(suite(group=2, cipher=5, bits=None)), (VENDOR, DPD)], responder=False)
    frames = [p.up(t, first) for t in (0, 10, 20, 30, 40)]
    end(w, 80)
    save("ikev1-message-1-unanswered", "Main mode 1 five times, and nothing comes back", w, accept("failed", "reachability", ["no-response"], False), frames, stage="reachability", cause="no-response")


def base_mode():
    w = Wire(116)
    p = Peers(w)
    p.up(0, p.message(BASE, [offer(suite()), (ID, struct.pack(">BBH", 1, 17, 500) + addr(CLIENT)), (NONCE, w.octets(20)), (VENDOR, DPD)], responder=False))
    p.down(0.002, p.message(BASE, [offer(suite()), (ID, struct.pack(">BBH", 1, 17, 500) + addr(GATEWAY)), (NONCE, w.octets(20)), (VENDOR, DPD)]))
    p.up(0.01, p.message(BASE, [(KE, w.octets(256)), (HASH, w.octets(20))]))
    p.down(0.014, p.message(BASE, [(KE, w.octets(256)), (HASH, w.octets(20))]))
    p.quick(0.03)
    p.talk(0.1, 4)
    end(w, 20)
    save("ikev1-base-mode", "Base mode, then a tunnel", w, accept("established", None, None), outcome="established")


if __name__ == "__main__":
    for make in (mode_config_interleaved, mode_config_abandoned, router_pushes, config_before_login, no_address, id_mismatch, psk_in_clear, responder_behind_nat, phase2_not_started, versions, no_peer_config,
                 xauth_second_try, silence, base_mode):
        make()
