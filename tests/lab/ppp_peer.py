#!/usr/bin/python3
"""A PPP peer that xl2tpd starts in the place of pppd, on machines whose kernel has no PPP.

Speaks async HDLC on its standard input and output: LCP, and then as much of PAP, CHAP and
MS-CHAPv2 as a test needs to see. The password is never checked: a server refuses whoever answers.

pppd's options hold "file NAME", and that file lines of the form "lab-NAME VALUE":
    lab-role client|server   lab-log FILE   lab-auth pap|chap|mschapv2|none   lab-magic HEX
"""

import hashlib
import os
import select
import struct
import sys
import termios
import time
import tty

LCP, PAP, CHAP, EAP = 0xC021, 0xC023, 0xC223, 0xC227
REQUEST, ACK, NAK, REJECT, TERMINATE, TERMINATE_ACK = range(1, 7)
ECHO, ECHO_REPLY = 9, 10
AUTH = {"mschapv2": b"\xc2\x23\x81", "chap": b"\xc2\x23\x05", "pap": b"\xc0\x23"}
NAME, PASSWORD = b"bob", b"correct horse"


def fcs(data):
    value = 0xFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = (value >> 1) ^ 0x8408 if value & 1 else value >> 1
    return struct.pack("<H", value ^ 0xFFFF)


def settings():
    found = {"role": "server", "log": "/dev/null", "auth": "chap"}
    for place, word in enumerate(sys.argv):
        if word == "file":
            for line in open(sys.argv[place + 1]):
                name, _, value = line.strip().partition(" ")
                if name.startswith("lab-"):
                    found[name[4:]] = value
    return found


def options(data):
    while len(data) >= 2 and data[1] >= 2:
        yield data[0], data[2 : data[1]]
        data = data[data[1] :]


def option(kind, value):
    return bytes((kind, len(value) + 2)) + value


class Peer:
    def __init__(self, told):
        self.told = told
        self.server = told["role"] == "server"
        self.log_file = open(told["log"], "a", buffering=1)
        self.magic = bytes.fromhex(told.get("magic", "")) or os.urandom(4)
        self.identifier = 0
        self.up = [False, False]
        self.auth = None
        self.asked = 0
        self.tries = 0
        self.over = False

    def log(self, text):
        self.log_file.write(text + "\n")

    def send(self, protocol, code, data=b"", identifier=None):
        if identifier is None:
            self.identifier = identifier = (self.identifier + 1) & 255
        packet = struct.pack(">BBH", code, identifier, 4 + len(data)) + data
        frame = b"\xff\x03" + struct.pack(">H", protocol) + packet
        frame += fcs(frame)
        out = bytearray(b"\x7e")
        for octet in frame:
            hidden = octet < 0x20 or octet in (0x7D, 0x7E)
            out += bytes((0x7D, octet ^ 0x20)) if hidden else bytes((octet,))
        os.write(1, bytes(out) + b"\x7e")

    def request(self):
        self.tries, self.asked = self.tries + 1, time.time()
        body = option(1, struct.pack(">H", 1400)) + option(5, self.magic)
        if self.server and self.told["auth"] != "none":
            body += option(3, AUTH[self.told["auth"]])
        self.send(LCP, REQUEST, body)

    def lcp(self, code, identifier, body):
        if code == REQUEST:
            refused = b""
            for kind, value in options(body):
                if kind == 5 and value == self.magic:
                    # The line is looped (RFC 1661 section 6.4).
                    refused += option(5, os.urandom(4))
                if kind == 3:
                    self.auth = next((n for n, v in AUTH.items() if v == value), None)
            if refused:
                self.log("looped")
                return self.send(LCP, NAK, refused, identifier)
            self.up[1] = True
            self.send(LCP, ACK, body, identifier)
            self.begin()
        elif identifier != self.identifier and code in (ACK, NAK, REJECT):
            self.log(f"answer {identifier} to question {self.identifier}")
        elif code == ACK:
            self.up[0] = True
            self.begin()
        elif code in (NAK, REJECT):
            self.request()
        elif code == TERMINATE:
            self.log("terminated")
            self.send(LCP, TERMINATE_ACK, identifier=identifier)
            self.over = True
        elif code == ECHO:
            self.send(LCP, ECHO_REPLY, self.magic + body[4:], identifier)

    def begin(self):
        if self.up != [True, True]:
            return
        self.up = [True, None]
        self.log("LCP open")
        if self.server and self.told["auth"] in ("chap", "mschapv2"):
            self.send(CHAP, 1, bytes((16,)) + os.urandom(16) + b"lns")
        elif not self.server and self.auth == "pap":
            self.send(PAP, 1, bytes((len(NAME),)) + NAME + bytes((len(PASSWORD),)) + PASSWORD)

    def chap(self, code, identifier, body):
        if code == 1 and not self.server:
            challenge = body[1 : 1 + body[0]]
            value = hashlib.md5(bytes((identifier,)) + PASSWORD + challenge).digest()
            if self.auth == "mschapv2":
                value = os.urandom(16) + bytes(8) + os.urandom(24) + b"\0"
            self.send(CHAP, 2, bytes((len(value),)) + value + NAME, identifier)
        elif code == 2 and self.server:
            self.log("answered by " + body[1 + body[0] :].decode())
            self.send(CHAP, 4, b"E=691 R=0 C=" + b"0" * 32 + b" V=3 M=Access denied", identifier)
        elif code in (3, 4):
            word = "success" if code == 3 else "failure"
            self.log(f"CHAP {word} {body.decode('ascii', 'replace')}")

    def pap(self, code, identifier, body):
        if code == 1 and self.server:
            self.log("asked by " + body[1 : 1 + body[0]].decode())
            self.send(PAP, 3, b"\x00", identifier)
        elif code in (2, 3):
            word = "ack" if code == 2 else "nak"
            self.log(f"PAP {word} {body[1:].decode('ascii', 'replace')}")

    def receive(self, frame):
        if len(frame) < 8 or fcs(frame[:-2]) != frame[-2:]:
            return
        data = frame[2:-2] if frame[:2] == b"\xff\x03" else frame[:-2]
        protocol, code, identifier, size = struct.unpack(">HBBH", data[:6])
        parts = {LCP: self.lcp, PAP: self.pap, CHAP: self.chap}
        if protocol in parts:
            parts[protocol](code, identifier, data[6 : 2 + size])

    def run(self):
        buffer, escaped = bytearray(), False
        end = time.time() + 60
        self.request()
        while not self.over and time.time() < end:
            ready, _, _ = select.select([0], [], [], 0.1)
            if not ready:
                if not self.up[0] and self.tries < 10 and time.time() - self.asked > 1:
                    self.request()
                continue
            try:
                chunk = os.read(0, 4096)
            except OSError:
                chunk = b""
            if not chunk:
                return
            for octet in chunk:
                if octet == 0x7E:
                    self.receive(bytes(buffer))
                    buffer.clear()
                elif octet == 0x7D:
                    escaped = True
                else:
                    buffer.append(octet ^ 0x20 if escaped else octet)
                    escaped = False


if os.isatty(0):
    tty.setraw(0, termios.TCSANOW)
Peer(settings()).run()
