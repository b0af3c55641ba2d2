#!/usr/bin/env python3
"""Writes the crafted L2TP, PPP and RADIUS captures, octet by octet: python3 pcaps/craft_l2tp.py

Each tells one story between a client, a gateway and, behind it, a RADIUS server. The message
formats are those of RFC 2661, 1661, 1332, 1994, 2759 and 2865; times are fixed, so the files
are the same in every run."""
import hashlib
import json
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENT, GATEWAY = "198.51.100.10", "203.0.113.10"
NAS, SERVER = "10.20.0.1", "10.20.0.12"
START = 1_700_000_000.0


def ip4(text):
    return bytes(int(part) for part in text.split("."))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Story:
    """Frames in order of time."""

    def __init__(self):
        self.frames, self.now, self.ids = [], START, {}
        self.ns = {CLIENT: 0, GATEWAY: 0}
        self.tunnel = {CLIENT: 21001, GATEWAY: 7}
        self.call = {CLIENT: 4711, GATEWAY: 9}

    def wait(self, seconds):
        self.now += seconds
        return self

    def udp(self, source, destination, sport, dport, payload):
        self.ids[source] = self.ids.get(source, 0x1000) + 1
        length = 8 + len(payload)
        pseudo = ip4(source) + ip4(destination) + struct.pack(">BBH", 0, 17, length)
        header = struct.pack(">HHH", sport, dport, length)
        total = checksum(pseudo + header + b"\0\0" + payload) or 0xFFFF
        segment = header + struct.pack(">H", total) + payload
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), self.ids[source], 0, 64, 17, 0) + ip4(source) + ip4(destination)
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        mac = {source: i for i, source in enumerate((CLIENT, GATEWAY, NAS, SERVER), 1)}
        frame = bytes([2, 0, 0, 0, 0, mac[destination], 2, 0, 0, 0, 0, mac[source]]) + b"\x08\0" + head + segment
        self.frames.append((self.now, frame))
        self.wait(0.004)

    def ether(self, to_server, ethertype, payload):
        macs = [b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"]
        source, destination = macs if to_server is True else macs[::-1]
        if to_server == "all":
            source, destination = macs[0], b"\xff" * 6
        frame = destination + source + struct.pack(">H", ethertype) + payload
        self.frames.append((self.now, frame.ljust(60, b"\0")))
        self.wait(0.004)

    # ---------------------------------------------------------------- L2TP
    def message(self, source, avps, session=0, tunnel=None, ns=None):
        other = GATEWAY if source == CLIENT else CLIENT
        tunnel = self.tunnel[other] if tunnel is None else tunnel
        number = self.ns[source] if ns is None else ns
        body = b"".join(avps)
        return struct.pack(">HHHHHH", 0xC802, 12 + len(body), tunnel, session, number, self.ns[other]) + body

    def control(self, source, kind, *avps, session=0, tunnel=None, copies=(0,)):
        octets = self.message(source, [avp(0, struct.pack(">H", kind)), *avps], session, tunnel)
        self.ns[source] += 1
        start = self.now
        for delay in copies:
            self.now = start + delay
            self.send(source, octets)
        return self

    def zlb(self, source):
        self.send(source, self.message(source, []))
        return self

    def send(self, source, octets):
        other = GATEWAY if source == CLIENT else CLIENT
        self.udp(source, other, 1701, 1701, octets)

    def tunnel_up(self, challenge=False, vendor="xelerance.com"):
        extra = [avp(11, b"C" * 16)] if challenge else []
        proof = [avp(13, b"R" * 16)] if challenge else []
        self.control(CLIENT, 1, *introduction(self.tunnel[CLIENT], "laptop", vendor), *extra, tunnel=0)
        self.control(GATEWAY, 2, *introduction(self.tunnel[GATEWAY], "lns", "xelerance.com"), *proof, *extra)
        self.control(CLIENT, 3, *proof)
        return self

    def call_up(self):
        self.zlb(GATEWAY)
        self.control(CLIENT, 10, avp(14, struct.pack(">H", self.call[CLIENT])), avp(15, struct.pack(">I", 1)))
        self.control(GATEWAY, 11, avp(14, struct.pack(">H", self.call[GATEWAY])), session=self.call[CLIENT])
        self.control(CLIENT, 12, avp(24, struct.pack(">I", 10_000_000)), avp(19, struct.pack(">I", 1)), session=self.call[GATEWAY])
        self.zlb(GATEWAY)
        return self

    def cdn(self, source, result=1, error=None, text=b""):
        other = GATEWAY if source == CLIENT else CLIENT
        value = struct.pack(">H", result) + (struct.pack(">H", error) + text if error is not None else b"")
        self.control(source, 14, avp(1, value), avp(14, struct.pack(">H", self.call[source])), session=self.call[other])
        return self

    def stop(self, source, result=1, error=None, text=b"", tunnel=None):
        value = struct.pack(">H", result) + (struct.pack(">H", error) + text if error is not None else b"")
        self.control(source, 4, avp(9, struct.pack(">H", self.tunnel[source])), avp(1, value), tunnel=tunnel)
        return self.zlb(GATEWAY if source == CLIENT else CLIENT)

    # ----------------------------------------------------------------- PPP
    def ppp(self, source, protocol, payload, copies=(0,)):
        other = GATEWAY if source == CLIENT else CLIENT
        octets = struct.pack(">HHH", 0x0002, self.tunnel[other], self.call[other]) + b"\xff\x03" + struct.pack(">H", protocol) + payload
        start = self.now
        for delay in copies:
            self.now = start + delay
            self.send(source, octets)
        return self

    def packet(self, source, protocol, code, identifier, body=b"", copies=(0,)):
        return self.ppp(source, protocol, struct.pack(">BBH", code, identifier, 4 + len(body)) + body, copies)

    def lcp_up(self, auth=b"\xc2\x23\x81", gateways_magic=b"\x55\x66\x77\x88"):
        wants = {CLIENT: option(1, b"\x05\x78") + option(5, b"\x11\x22\x33\x44"), GATEWAY: option(1, b"\x05\x78") + option(3, auth) + option(5, gateways_magic)}
        for source, other in ((CLIENT, GATEWAY), (GATEWAY, CLIENT)):
            self.packet(source, 0xC021, 1, 1, wants[source])
            self.packet(other, 0xC021, 2, 1, wants[source])
        return self

    def chap(self, granted=True, error=691, text="Access denied", proof=True):
        self.packet(GATEWAY, 0xC223, 1, 7, b"\x10" + bytes(range(16)) + b"lns")
        self.packet(CLIENT, 0xC223, 2, 7, b"\x31" + bytes(48) + b"\0" + b"bob")
        if granted:
            words = ("S=" + "0123456789ABCDEF0123456789ABCDEF01234567 " if proof else "") + "M=Welcome"
            return self.packet(GATEWAY, 0xC223, 3, 7, words.encode())
        return self.packet(GATEWAY, 0xC223, 4, 7, f"E={error} R=0 C={'A' * 32} V=3 M={text}".encode())

    def ipcp_up(self, address="10.50.0.10"):
        server = option(3, ip4("10.50.0.1"))
        self.packet(GATEWAY, 0x8021, 1, 1, server).packet(CLIENT, 0x8021, 2, 1, server)
        self.packet(CLIENT, 0x8021, 1, 1, option(3, bytes(4)))
        self.packet(GATEWAY, 0x8021, 3, 1, option(3, ip4(address)))
        self.packet(CLIENT, 0x8021, 1, 2, option(3, ip4(address)))
        return self.packet(GATEWAY, 0x8021, 2, 2, option(3, ip4(address)))

    def end(self, source, text=b""):
        other = GATEWAY if source == CLIENT else CLIENT
        self.packet(source, 0xC021, 5, 9, text).packet(other, 0xC021, 6, 9)
        return self

    def ping(self):
        for source in (CLIENT, GATEWAY):
            icmp = struct.pack(">BBHHH", 8 if source == CLIENT else 0, 0, 0, 1, 1) + b"x" * 16
            head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0) + ip4("10.50.0.10") + ip4("10.50.0.1")
            self.ppp(source, 0x0021, head + icmp)
        return self

    # -------------------------------------------------------------- RADIUS
    def radius(self, code, identifier, attributes, port=50001, copies=(0,)):
        seed = hashlib.md5(f"{code}/{identifier}".encode()).digest()
        octets = struct.pack(">BBH", code, identifier, 20 + len(attributes)) + seed + attributes
        to_server = code in (1, 4)
        start = self.now
        for delay in copies:
            self.now = start + delay
            if to_server:
                self.udp(NAS, SERVER, port, 1812, octets)
            else:
                self.udp(SERVER, NAS, 1812, port, octets)
        return self

    def access_request(self, identifier=1, copies=(0,)):
        attributes = attribute(1, b"bob") + attribute(4, ip4(NAS)) + attribute(32, b"lns") + attribute(31, CLIENT.encode())
        return self.radius(1, identifier, attributes, copies=copies)

    def write(self, folder, name, title, made, **truth):
        path = HERE / folder
        path.mkdir(exist_ok=True)
        with (path / name).open("wb") as out:
            out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for time, frame in sorted(self.frames, key=lambda f: f[0]):
                out.write(struct.pack("<IIII", int(time), round(time % 1 * 1e6), len(frame), len(frame)) + frame)
        accept = {"outcome": [truth["outcome"]], "stages": truth.get("stages"), "causes": truth.get("causes"), "certain": truth.get("certain", [])}
        document = {
            "id": folder, "title": title, "made": made,
            "topology": {"client": CLIENT, "nat": None, "gateway": GATEWAY},
            "outcome": truth["outcome"], "stage": (truth.get("stages") or [None])[0], "cause": (truth.get("causes") or [None])[0],
            "viewpoints": {}, "both": None, "sessions": 1,
            "expect": {name: {"accept": [accept], "count": truth.get("count", 1), "key_frames": truth.get("key_frames", [])}},
        }
        (path / "truth.json").write_text(json.dumps(document, indent=1) + "\n")


def avp(kind, value, flags=0x8000, vendor=0):
    return struct.pack(">HHH", flags | (6 + len(value)), vendor, kind) + value


def introduction(tunnel, host, vendor):
    return [avp(2, b"\x01\x00"), avp(3, struct.pack(">I", 3)), avp(4, struct.pack(">I", 0)), avp(7, host.encode()), avp(8, vendor.encode(), 0), avp(9, struct.pack(">H", tunnel)), avp(10, struct.pack(">H", 4))]


def option(kind, value=b""):
    return bytes([kind, 2 + len(value)]) + value


def attribute(kind, value):
    return bytes([kind, 2 + len(value)]) + value


def failed(stage, cause, certain=True, **more):
    return {"outcome": "failed", "stages": [stage], "causes": [cause], "certain": [cause] if certain else [], **more}


def main():
    made = "crafted"
    s = Story()
    s.control(CLIENT, 1, *introduction(s.tunnel[CLIENT], "laptop", "xelerance.com"), tunnel=0).stop(GATEWAY, 2, 4, b"no more tunnels")
    s.wait(30).zlb(CLIENT)
    s.write("l2tp-stopccn-resources", "single.pcap", "The LNS refuses the tunnel: result 2, error 4", made, **failed("l2tp-control", "l2tp-stopccn", key_frames=[2]))

    s = Story()
    s.tunnel_up(challenge=True).stop(GATEWAY, 4, 0, b"challenge response does not match")
    s.wait(30).zlb(CLIENT)
    s.write("l2tp-tunnel-secret-wrong", "single.pcap", "Tunnel authentication fails: StopCCN result 4 after the client's proof", made, **failed("l2tp-control", "l2tp-tunnel-auth-failed", key_frames=[4]))

    s = Story()
    s.tunnel_up(challenge=True).call_up().lcp_up().chap().ipcp_up().ping().wait(20).end(CLIENT).cdn(CLIENT).stop(CLIENT)
    s.write("l2tp-tunnel-secret-right", "single.pcap", "Tunnel authentication succeeds and the session works", made, outcome="established")

    s = Story().tunnel_up().call_up()
    wants = option(1, b"\x05\x78") + option(3, b"\xc2\x23\x81") + option(5, b"\x55\x66\x77\x88")
    mine = option(1, b"\x05\x78") + option(5, b"\x11\x22\x33\x44")
    s.packet(GATEWAY, 0xC021, 1, 1, wants).packet(CLIENT, 0xC021, 1, 1, mine).packet(GATEWAY, 0xC021, 2, 1, mine)
    s.packet(CLIENT, 0xC021, 4, 1, option(3, b"\xc2\x23\x81")).end(GATEWAY, b"peer refused to authenticate").cdn(GATEWAY)
    s.wait(30).zlb(CLIENT)
    s.write("l2tp-auth-rejected", "single.pcap", "The client rejects the authentication option, the server ends the link", made, **failed("ppp-lcp", "ppp-auth-protocol-mismatch", key_frames=[12]))

    s = Story().tunnel_up().call_up().lcp_up().chap()
    mppe = option(18, b"\x01\0\0\x40")
    s.packet(CLIENT, 0x80FD, 1, 1, mppe).packet(GATEWAY, 0xC021, 8, 2, b"\x80\xfd" + struct.pack(">BBH", 1, 1, 10) + mppe)
    s.end(CLIENT, b"MPPE required but peer refused").cdn(CLIENT).wait(30).zlb(GATEWAY)
    s.write("l2tp-mppe-required", "single.pcap", "The client insists on MPPE, the server rejects CCP", made, **failed("ppp-network", "ppp-mppe-required", key_frames=[17, 18]))

    s = Story().tunnel_up().call_up().lcp_up().chap()
    s.packet(CLIENT, 0x80FD, 1, 1, mppe).packet(GATEWAY, 0xC021, 8, 2, b"\x80\xfd" + struct.pack(">BBH", 1, 1, 10) + mppe)
    s.ipcp_up().ping().wait(10).end(CLIENT).cdn(CLIENT).stop(CLIENT)
    s.write("l2tp-ccp-rejected-established", "single.pcap", "The server rejects CCP, nobody minds, IP runs", made, outcome="established")

    s = Story().tunnel_up().call_up().lcp_up().chap()
    server = option(3, ip4("10.50.0.1"))
    s.packet(GATEWAY, 0x8021, 1, 1, server).packet(CLIENT, 0x8021, 2, 1, server).packet(CLIENT, 0x8021, 1, 1, option(3, bytes(4)))
    s.packet(GATEWAY, 0x8021, 4, 1, option(3, bytes(4))).packet(CLIENT, 0x8021, 1, 2).packet(GATEWAY, 0x8021, 4, 2)
    s.end(CLIENT, b"Could not determine local IP address").cdn(CLIENT).wait(30).zlb(GATEWAY)
    s.write("l2tp-no-address", "single.pcap", "The server has no address: IPCP Configure-Reject of the address option", made, **failed("ppp-network", "config-no-address", key_frames=[19]))

    s = Story().tunnel_up().call_up().lcp_up(gateways_magic=b"\x11\x22\x33\x44").chap()
    s.packet(GATEWAY, 0x8021, 1, 1, server).packet(CLIENT, 0x8021, 2, 1, server).packet(CLIENT, 0x8021, 1, 1, option(3, bytes(4)))
    s.packet(GATEWAY, 0x8021, 4, 1, option(3, bytes(4))).packet(CLIENT, 0x8021, 1, 2).packet(GATEWAY, 0x8021, 4, 2)
    s.end(CLIENT, b"Could not determine local IP address").cdn(CLIENT).wait(30).zlb(GATEWAY)
    s.write("l2tp-one-magic-number-no-address", "single.pcap", "Both ends drew one magic number, which is no loop: the login went through, and the server has no address", made, **failed("ppp-network", "config-no-address", key_frames=[19]))

    s = Story().tunnel_up().call_up()
    wants = option(1, b"\x05\x78") + option(5, b"\x11\x22\x33\x44")
    for number in range(1, 5):
        s.packet(CLIENT, 0xC021, 1, number, wants).packet(GATEWAY, 0xC021, 1, number, wants).wait(3)
    s.end(CLIENT, b"loopback detected").cdn(CLIENT).wait(30).zlb(GATEWAY)
    s.write("l2tp-looped-back", "single.pcap", "The gateway sends the client's own LCP back", made, **failed("ppp-lcp", "ppp-lcp-loop", key_frames=[10]))

    s = Story().tunnel_up().call_up().lcp_up(b"\xc0\x23")
    s.packet(CLIENT, 0xC023, 1, 1, b"\x03bob\x06secret", copies=(0, 3, 6, 9, 12)).wait(3).end(CLIENT).cdn(CLIENT).wait(30).zlb(GATEWAY)
    s.write("l2tp-login-without-verdict", "single.pcap", "The server never answers the login: its RADIUS server is silent", made, **failed("ppp-authentication", "radius-timeout", certain=False, key_frames=[13]))

    s = Story().tunnel_up().call_up().lcp_up()
    s.packet(GATEWAY, 0xC223, 1, 7, b"\x10" + bytes(range(16)) + b"lns").packet(CLIENT, 0xC223, 2, 7, b"\x31" + bytes(48) + b"\0" + b"bob")
    s.access_request(copies=(0, 5, 10))
    s.wait(5).packet(GATEWAY, 0xC223, 4, 7, b"E=691 R=0 C=" + b"A" * 32 + b" V=3 M=Access denied").end(GATEWAY).cdn(GATEWAY).wait(30).zlb(CLIENT)
    s.write("l2tp-radius-silent", "single.pcap", "The gateway sees both sides: RADIUS stays silent, then the login is refused", made, **failed("ppp-authentication", "radius-timeout", key_frames=[15, 16, 17]))

    s = Story().tunnel_up().call_up().lcp_up()
    s.packet(GATEWAY, 0xC223, 1, 7, b"\x10" + bytes(range(16)) + b"lns").packet(CLIENT, 0xC223, 2, 7, b"\x31" + bytes(48) + b"\0" + b"bob")
    error = b"\0\0\x01\x37" + attribute(2, b"\x07E=649 R=0 C=" + b"A" * 32 + b" V=3")
    s.access_request(copies=(0,)).wait(0.2).radius(3, 1, attribute(26, error) + attribute(18, b"no dial-in permission"))
    s.packet(GATEWAY, 0xC223, 4, 7, b"E=649 R=0 C=" + b"A" * 32 + b" V=3 M=No dial-in permission").end(GATEWAY).cdn(GATEWAY).wait(30).zlb(CLIENT)
    s.write("l2tp-radius-rejects", "single.pcap", "RADIUS rejects the login: no dial-in permission", made, **failed("ppp-authentication", "ppp-auth-failed", key_frames=[17]))

    s = Story()
    s.access_request(copies=(0, 5, 10)).wait(30).zlb(CLIENT)
    s.frames.pop()
    s.frames.append((s.now, s.frames[0][1][:42]))
    s.frames.pop()
    s.write("radius-silent", "single.pcap", "RADIUS alone: three requests, no answer", made, **failed("ppp-authentication", "radius-timeout", certain=False, key_frames=[1, 2, 3]))

    s = Story()
    s.access_request(copies=(0, 3)).wait(0.1).radius(2, 1, attribute(8, ip4("10.50.0.10")) + attribute(18, b"welcome"))
    s.write("radius-accepted", "single.pcap", "RADIUS alone: one retransmission, then Access-Accept", made, outcome="established")

    s = Story()
    s.control(CLIENT, 1, *introduction(1, "PC", "Microsoft"), tunnel=0, copies=(0, 1, 3, 7, 15)).wait(15)
    s.stop(CLIENT, 1, tunnel=0)
    s.frames.pop()
    s.write("l2tp-windows-without-ipsec", "single.pcap", "Windows sends L2TP in clear, nobody answers", made, **failed("l2tp-control", "l2tp-without-ipsec", certain=False, key_frames=[1]))

    s = Story().tunnel_up().call_up().lcp_up().chap(proof=False).end(CLIENT, b"MS-CHAPv2 mutual authentication failed").cdn(CLIENT).wait(30).zlb(GATEWAY)
    s.write("l2tp-chap-success-without-proof", "single.pcap", "MS-CHAPv2 Success without S=: the client leaves", made, **failed("ppp-authentication", "ppp-auth-failed", certain=False, key_frames=[15]))

    s = Story().tunnel_up().call_up().lcp_up().chap().ipcp_up().ping().wait(60)
    hello = s.message(CLIENT, [avp(0, struct.pack(">H", 6))])
    for delay in (0, 1, 2, 4, 8):
        s.wait(delay).send(CLIENT, hello)
    s.ns[CLIENT] += 1
    s.wait(8).stop(CLIENT, 1)
    s.frames.pop()
    s.write("l2tp-hello-unanswered", "single.pcap", "It worked; then the LNS does not acknowledge HELLO any more", made, **failed("tunnel-data", "dpd-timeout", key_frames=[24, 25, 26, 27, 28]))

    s = Story().tunnel_up()
    s.zlb(GATEWAY).control(CLIENT, 10, avp(14, struct.pack(">H", s.call[CLIENT])), avp(15, struct.pack(">I", 1)))
    s.control(GATEWAY, 11, avp(14, struct.pack(">H", s.call[GATEWAY])), session=s.call[CLIENT])
    iccn = s.message(CLIENT, [avp(0, struct.pack(">H", 12)), avp(24, struct.pack(">I", 1))], s.call[GATEWAY])
    s.send(CLIENT, iccn)
    start = s.now
    s.lcp_up().chap().ipcp_up().ping()
    for delay in (1, 3, 7, 15):
        s.now = start + delay
        s.send(CLIENT, iccn)
    s.ns[CLIENT] += 1
    s.now = start + 31
    s.stop(CLIENT, 1)
    s.frames.pop()
    s.write("l2tp-iccn-ack-lost", "single.pcap", "The acknowledgment of ICCN never arrives: PPP works, and after 31 s the client gives up", made, **failed("l2tp-control", "response-lost", key_frames=[7]))


def tag(kind, value=b""):
    return struct.pack(">HH", kind, len(value)) + value


def pppoe(code, session, payload):
    return struct.pack(">BBHH", 0x11, code, session, len(payload)) + payload


def over_pppoe():
    """PPPoE: nobody there, refused, wrong password, and one that works."""
    unique = tag(0x0101) + tag(0x0103, b"\1\2\3\4")

    def found(story):
        story.ether("all", 0x8863, pppoe(0x09, 0, unique))
        story.ether(False, 0x8863, pppoe(0x07, 0, unique + tag(0x0102, b"bras1") + tag(0x0104, b"cookie")))
        story.ether(True, 0x8863, pppoe(0x19, 0, unique + tag(0x0104, b"cookie")))
        return story

    def inside(story, to_server, protocol, code, identifier, body=b""):
        frame = struct.pack(">HBBH", protocol, code, identifier, 4 + len(body)) + body
        story.ether(to_server, 0x8864, pppoe(0, 77, frame))

    def linked(story):
        found(story).ether(False, 0x8863, pppoe(0x65, 77, unique))
        server = option(1, b"\x05\xd4") + option(3, b"\xc0\x23") + option(5, b"\x55\x66\x77\x88")
        client = option(1, b"\x05\xd4") + option(5, b"\x11\x22\x33\x44")
        for mine, wants in ((True, client), (False, server)):
            inside(story, mine, 0xC021, 1, 1, wants)
            inside(story, not mine, 0xC021, 2, 1, wants)
        inside(story, True, 0xC023, 1, 1, b"\x03bob\x06secret")
        return story

    s = Story()
    for delay in (0, 5, 10, 20):
        s.now = START + delay
        s.ether("all", 0x8863, pppoe(0x09, 0, unique))
    s.write("pppoe-no-answer", "single.pcap", "PADI four times, no access concentrator answers", "crafted", **failed("reachability", "no-response", certain=False, key_frames=[1, 2, 3, 4]))

    s = found(Story())
    s.ether(False, 0x8863, pppoe(0x65, 0, unique + tag(0x0201, b"no such service")))
    s.write("pppoe-service-refused", "single.pcap", "PADS with Service-Name-Error", "crafted", **failed("reachability", "pppoe-refused", key_frames=[4]))

    s = linked(Story())
    inside(s, False, 0xC023, 3, 1, b"\x0fLogin incorrect")
    inside(s, False, 0xC021, 5, 2)
    inside(s, True, 0xC021, 6, 2)
    s.ether(False, 0x8863, pppoe(0xA7, 77, b""))
    s.write("pppoe-pap-auth-failed", "single.pcap", "PPPoE: PAP with a wrong password", "crafted", **failed("ppp-authentication", "ppp-auth-failed", key_frames=[10]))

    s = linked(Story())
    inside(s, False, 0xC023, 2, 1, b"\x00")
    for mine, address in ((False, "10.60.0.1"), (True, "10.60.0.9")):
        inside(s, mine, 0x8021, 1, 1, option(3, ip4(address)))
        inside(s, not mine, 0x8021, 2, 1, option(3, ip4(address)))
    s.write("pppoe-established", "single.pcap", "PPPoE with PAP, IPCP opens", "crafted", outcome="established")


def silent_server_in_esp():
    """From a real L2TP/IPsec session: everything up to the first ESP packet, which is then
    repeated as an L2TP client does that hears nothing. Sequence number, IP identification and
    checksums are put right; nobody can check the ESP without keys."""
    octets = (HERE / "l2tp-ipsec-nat-established/client.pcap").read_bytes()
    order = "<" if octets[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    story, at, first = Story(), 24, None
    while at < len(octets):
        seconds, micros, captured, _ = struct.unpack_from(order + "IIII", octets, at)
        frame = octets[at + 16 : at + 16 + captured]
        at += 16 + captured
        time = seconds + micros / 1e6
        is_ip = frame[12:14] == b"\x08\0"
        is_esp = is_ip and frame[23] == 17 and frame[36:38] == b"\x11\x94" and frame[42:46] != bytes(4) and len(frame) > 60
        if is_esp:
            first = (time, frame)
            break
        story.frames.append((time, frame))
    time, frame = first
    for number, delay in enumerate((0, 1, 3, 7, 15), 1):
        head = bytearray(frame)
        head[18:20] = struct.pack(">H", 0x2000 + number)
        head[24:26] = bytes(2)
        head[24:26] = struct.pack(">H", checksum(bytes(head[14:34])))
        head[40:42] = bytes(2)
        head[46:50] = struct.pack(">I", number)
        story.frames.append((time + delay, bytes(head)))
    last = time + 31
    story.frames.append((last, story.frames[0][1][:0] + bytes(12) + b"\x08\x06" + bytes(46)))
    story.write("l2tp-ipsec-lns-silent", "client.pcap", "IPsec is up, the L2TP server inside never answers", "crafted-from-real", **failed("l2tp-control", "l2tp-no-response", certain=False, key_frames=[len(story.frames) - 5]))


if __name__ == "__main__":
    silent_server_in_esp()
    over_pppoe()
    main()
