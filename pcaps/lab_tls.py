#!/usr/bin/env python3
"""Captures of TLS and DTLS gateways that go wrong, by real daemons in network namespaces.

usage: lab_tls.py OUT [SCENARIO…]   (root; ocserv, openconnect, openssl, nftables, tcpdump)

client 10.1.0.2 -- router (10.1.0.1, 198.51.100.1) -- gateway 198.51.100.10. Writes
OUT/SCENARIO/{client,gateway,router}.pcap; the truth beside them is written by hand.
"""
import os, shutil, subprocess, sys, tempfile, time
from pathlib import Path

C, R, G = "vs-tls-c", "vs-tls-r", "vs-tls-g"
WORK = Path(tempfile.mkdtemp(prefix="vs-tls-"))
OUT = Path(sys.argv[1])
running = []


def sh(cmd, check=True, **kw):
    return subprocess.run(cmd, shell=True, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)


def start(ns, cmd, log):
    f = open(WORK / log, "w")
    p = subprocess.Popen(["ip", "netns", "exec", ns, "sh", "-c", "exec " + cmd], stdout=f, stderr=f, stdin=subprocess.PIPE)
    running.append(p)
    return p


def stop(p):
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(4)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    if p in running:
        running.remove(p)


def up(nat=True):
    down()
    for n in (C, R, G):
        sh(f"ip netns add {n}; ip -n {n} link set lo up")
    for a, x, b, y in ((C, "eth0", R, "lan"), (R, "wan", G, "eth0")):
        sh(f"ip link add {x} netns {a} type veth peer name {y} netns {b}")
        for n, i in ((a, x), (b, y)):
            sh(f"ip netns exec {n} ethtool -K {i} tx off gro off gso off tso off; ip -n {n} link set {i} up", check=False)
    sh(f"ip -n {C} addr add 10.1.0.2/24 dev eth0; ip -n {C} addr add 10.1.0.3/24 dev eth0; ip -n {C} route add default via 10.1.0.1")
    sh(f"ip -n {R} addr add 10.1.0.1/24 dev lan; ip -n {R} addr add 198.51.100.1/24 dev wan")
    sh(f"ip -n {G} addr add 198.51.100.10/24 dev eth0; ip -n {G} route add default via 198.51.100.1")
    sh(f"ip netns exec {R} sysctl -w net.ipv4.ip_forward=1")
    if nat:
        nft(R, "table ip nat { chain post { type nat hook postrouting priority 100; oifname wan masquerade; }\n }\n")


def nft(ns, rules):
    subprocess.run(["ip", "netns", "exec", ns, "nft", "-f", "-"], input=rules.encode(), check=True)


def down():
    for p in list(running):
        stop(p)
    for n in (C, R, G):
        sh(f"ip netns del {n}", check=False)


def capture(name, *where):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    dumps = []
    for w in where:
        ns, iface = {"client": (C, "eth0"), "gateway": (G, "eth0"), "router": (R, "any")}[w]
        dumps.append(start(ns, f"tcpdump -Z root -U -n -s0 -i {iface} -w {folder}/{w}.pcap 'tcp or udp or icmp'", f"dump-{w}.log"))
    time.sleep(1.5)
    return dumps


def pki():
    os.chdir(WORK)
    sh("openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3000 -subj '/O=Example/CN=Example Root CA'")
    sh("openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj '/O=Example/CN=vpn.example.test'")

    def cert(name, san="DNS:vpn.example.test,IP:198.51.100.10", eku="serverAuth", dates="-startdate 20240101000000Z -enddate 20400101000000Z"):
        Path(f"{name}.ext").write_text(f"subjectAltName={san}\nextendedKeyUsage={eku}\nkeyUsage=digitalSignature,keyEncipherment\n")
        Path("ca.cnf").write_text("[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index.txt\nserial=serial\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\nO=optional\nCN=optional\n")
        Path("index.txt").write_text("")
        Path("serial").write_text("1001\n")
        sh(f"openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in server.csr -out {name}.pem -extfile {name}.ext -notext {dates}")
        Path(f"{name}-chain.pem").write_text(Path(f"{name}.pem").read_text() + Path("ca.pem").read_text())

    cert("good")
    cert("future", dates="-startdate 20350101000000Z -enddate 20400101000000Z")
    cert("name", san="DNS:mail.example.test")
    cert("eku", eku="clientAuth")
    sh("printf 'secret\\nsecret\\n' | ocpasswd -c ocpasswd alice; printf 'secret\\nsecret\\n' | ocpasswd -c ocpasswd bob")


OCSERV = """auth = "plain[passwd=@W@/ocpasswd]"
tcp-port = 443
udp-port = @UDP@
run-as-user = nobody
run-as-group = nogroup
socket-file = @W@/ocserv.sock
pid-file = @W@/ocserv.pid
server-cert = @W@/@CERT@-chain.pem
server-key = @W@/server.key
ca-cert = @W@/ca.pem
tls-priorities = "@PRIO@"
isolate-workers = false
max-clients = 32
max-same-clients = @SAME@
rate-limit-ms = 0
keepalive = 300
dpd = 90
mobile-dpd = 1800
switch-to-tcp-timeout = 25
try-mtu-discovery = false
auth-timeout = 40
min-reauth-time = 0
max-ban-score = 0
cookie-timeout = 300
deny-roaming = false
rekey-time = 172800
use-occtl = false
log-level = 5
device = vpns
predictable-ips = true
ipv4-network = 10.99.0.0
ipv4-netmask = 255.255.255.0
ping-leases = false
route = 10.99.0.0/255.255.255.0
cisco-client-compat = true
dtls-legacy = true
"""


def ocserv(cert="good", prio="NORMAL:%SERVER_PRECEDENCE:-VERS-TLS1.3", same=0, udp=443):
    conf = OCSERV
    for k, v in (("@W@", WORK), ("@CERT@", cert), ("@PRIO@", prio), ("@SAME@", same), ("@UDP@", udp)):
        conf = conf.replace(k, str(v))
    (WORK / "ocserv.conf").write_text(conf)
    os.chmod(WORK, 0o755)
    p = start(G, f"ocserv -f -d 3 -c {WORK}/ocserv.conf", "ocserv.log")
    time.sleep(2)
    return p


def oc(user="alice", extra="", log="oc.log", wait=6):
    script = WORK / "script.sh"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    p = start(C, f"openconnect -v --non-inter --passwd-on-stdin -u {user} --cafile {WORK}/ca.pem -s {script} -i tun{abs(hash(log)) % 1000} --resolve=vpn.example.test:198.51.100.10 {extra} vpn.example.test", log)
    p.stdin.write(b"secret\n")
    p.stdin.close()
    time.sleep(wait)
    return p


def tls12_certificate(cert):
    def run(name):
        up()
        ocserv(cert)
        dumps = capture(name, "client", "gateway")
        stop(oc(wait=4))
        finish(dumps)
    return run


def eku_alert(name):
    up()
    start(G, f"openssl s_server -accept 443 -cert {WORK}/eku.pem -cert_chain {WORK}/ca.pem -key {WORK}/server.key -tls1_2 -www", "s.log")
    time.sleep(1)
    dumps = capture(name, "client", "gateway")
    p = start(C, f"openssl s_client -connect 198.51.100.10:443 -servername vpn.example.test -CAfile {WORK}/ca.pem -purpose sslserver -verify_return_error -verify 4", "c.log")
    time.sleep(3)
    stop(p)
    finish(dumps)


def eku_silent(name):
    """openconnect does not look at the purpose; gnutls-cli does."""
    up()
    start(G, f"openssl s_server -accept 443 -cert {WORK}/eku.pem -cert_chain {WORK}/ca.pem -key {WORK}/server.key -tls1_2 -www", "s.log")
    time.sleep(1)
    dumps = capture(name, "client", "gateway")
    p = start(C, f"gnutls-cli --x509cafile {WORK}/ca.pem --verify-hostname vpn.example.test --sni-hostname vpn.example.test -p 443 198.51.100.10", "c.log")
    time.sleep(3)
    stop(p)
    finish(dumps)


def web(name):
    up()
    start(G, f"openssl s_server -accept 443 -cert {WORK}/good-chain.pem -key {WORK}/server.key -www", "s.log")
    time.sleep(1)
    dumps = capture(name, "client", "gateway")
    stop(oc(wait=5))
    finish(dumps)


def same_user(name):
    up()
    ocserv(same=1, prio="NORMAL:%SERVER_PRECEDENCE")
    dumps = capture(name, "client", "gateway")
    a = oc(log="a.log", wait=5)
    b = oc(log="b.log", wait=6)
    stop(b)
    stop(a)
    time.sleep(1)
    finish(dumps)


def other_node(name):
    """UDP of the gateway's address is answered by a server that knows no session."""
    up()
    ocserv(prio="NORMAL:%SERVER_PRECEDENCE:-VERS-TLS1.3:+RSA:+AES-128-GCM:+AES-256-GCM")
    start(G, f"openssl s_server -dtls1_2 -port 4433 -cert {WORK}/good.pem -key {WORK}/server.key -cipher ALL:@SECLEVEL=0", "d.log")
    nft(G, "table ip nat { chain pre { type nat hook prerouting priority -100; udp dport 443 redirect to :4433; }\n }\n")
    dumps = capture(name, "client", "gateway")
    p = oc(wait=12, extra="--dtls-ciphers=OC-DTLS1_2-AES128-GCM")
    stop(p)
    time.sleep(1)
    finish(dumps)


def clamp(name):
    """The router lowers the segment size to 1360; the way beyond it takes 1200 octets and says nothing."""
    up(nat=False)
    nft(R, """table inet f { chain forwarding { type filter hook forward priority 0;
      tcp flags syn tcp option maxseg size set 1360
      oifname wan meta length > 1200 drop
      oifname lan meta length > 1200 drop
      }
    }
    """)
    start(G, f"openssl s_server -accept 443 -cert {WORK}/good-chain.pem -cert_chain {WORK}/ca.pem -key {WORK}/server.key -www", "s.log")
    time.sleep(1)
    dumps = capture(name, "client", "gateway", "router")
    p = oc(wait=14)
    stop(p)
    finish(dumps)


RETRY = """
import socket, struct
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("198.51.100.10", 443)); s.listen(5)
while True:
    c, _ = s.accept()
    hello = c.recv(16384)
    session = hello[44:44 + hello[43]]
    random = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    extensions = struct.pack(">HHH", 43, 2, 0x304) + struct.pack(">HHH", 51, 2, 0x17)
    body = b"\\3\\3" + random + bytes([len(session)]) + session + b"\\x13\\1\\0" + struct.pack(">H", len(extensions)) + extensions
    c.sendall(b"\\x16\\3\\3" + struct.pack(">H", len(body) + 4) + b"\\2" + len(body).to_bytes(3, "big") + body)
    c.recv(16384)
    c.close()
"""


def unknown_group(name):
    """The gateway asks for a group that the client did not offer."""
    up()
    (WORK / "retry.py").write_text(RETRY)
    start(G, f"python3 {WORK}/retry.py", "s.log")
    time.sleep(1)
    dumps = capture(name, "client", "gateway")
    p = start(C, "openssl s_client -connect 198.51.100.10:443 -servername vpn.example.test -tls1_3 -groups X25519", "c.log")
    time.sleep(3)
    stop(p)
    finish(dumps)


def s_client(server, client):
    def run(name):
        up()
        start(G, f"openssl s_server -accept 443 -cert {WORK}/good.pem -cert_chain {WORK}/ca.pem -key {WORK}/server.key {server} -www", "s.log")
        time.sleep(1)
        dumps = capture(name, "client", "gateway")
        p = start(C, f"openssl s_client -connect 198.51.100.10:443 -servername vpn.example.test -CAfile {WORK}/ca.pem {client}", "c.log")
        time.sleep(3)
        stop(p)
        finish(dumps)
    return run


def finish(dumps):
    time.sleep(1)
    for d in dumps:
        stop(d)
    for p in list(running):
        stop(p)


SCENARIOS = {
    "oc-cert-not-yet-valid-tls12": tls12_certificate("future"),
    "oc-cert-name-mismatch-tls12": tls12_certificate("name"),
    "oc-cert-eku-ignored-tls12": tls12_certificate("eku"),
    "tls12-cert-eku-alert": eku_alert,
    "tls12-cert-eku-gnutls": eku_silent,
    "oc-not-a-vpn-gateway": web,
    "oc-max-same-clients": same_user,
    "oc-dtls-other-node": other_node,
    "oc-mss-clamp-wrong": clamp,
    "tls13-retry-unknown-group": unknown_group,
    "tls13-alert-no-common-suite": s_client("-ciphersuites TLS_AES_256_GCM_SHA384", "-tls1_3 -groups X25519 -ciphersuites TLS_CHACHA20_POLY1305_SHA256"),
    "tls13-alert-one-group-refused": s_client("-groups P-384", "-tls1_3 -groups X25519"),
}

try:
    pki()
    for name, run in SCENARIOS.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        print(name, flush=True)
        run(name)
        logs = OUT / name / "logs"
        logs.mkdir(exist_ok=True)
        for log in WORK.glob("*.log"):
            if not log.name.startswith("dump"):
                shutil.copy(log, logs)
            log.unlink()
finally:
    down()
    shutil.rmtree(WORK, ignore_errors=True)
