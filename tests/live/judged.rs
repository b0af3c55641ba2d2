//! Lab captures sent through a wire: the final sessions are those of the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use vpnscope::source::writer::{Output, Writer};
use vpnscope::source::{Frame, FrameSource, LinkType, file};

use crate::common;
use crate::wire::{
    INSIDE, PROGRAM, again, can, capture, folder, inside, lines, run, send, stop, veth,
};

const CAPTURE: &str = "VPNSCOPE_SEND";
const TEST: &str = "judged::what_is_sent_through_a_wire_is_judged_like_the_file";
/// Captures sent at the same time, each in a namespace of its own.
const AT_ONCE: usize = 20;

/// Part of the names of those that are always sent.
const SAMPLE: &[&str] = &[
    "pcaps/ikev2-psk-mismatch/client",
    "pcaps/ikev2-no-common-group/client",
    "pcaps/ikev2-udp500-dropped/client",
    "pcaps/ikev2-mobike-address-change/client",
    "pcaps/ikev1-pfs-mismatch/client",
    "pcaps/ikev1-certificates-fragments-dropped/client",
    "pcaps/l2tp-ipsec-esp50-established/client",
    "pcaps/oc-established-tls13-dtls12-psk/client",
    "pcaps/dtls13-basic/",
    "pcaps/tls12-alert-client-cert-expired/",
    "pcaps/encap-gre/",
    "pcaps/encap-sll2/",
];

/// Final sessions, as they are compared: what, where, and what came of it.
fn finals(lines: &[Value]) -> Vec<String> {
    let is_final = |line: &&Value| line["type"] == "session" && line["final"] == true;
    let finals = lines.iter().filter(is_final);
    let mut all: Vec<String> = finals
        .map(|s| {
            ["kind", "client", "gateway", "outcome", "stage", "cause"]
                .map(|k| s[k].to_string())
                .join(" ")
        })
        .collect();
    all.sort();
    all
}

/// The same of a file.
fn of_file(path: &Path) -> Vec<String> {
    let output = Command::new(PROGRAM)
        .args(["analyze", "--tls", "all", "--format", "ndjson"])
        .arg(path)
        .output()
        .unwrap();
    let mut all = lines(&output);
    for line in &mut all {
        line["final"] = true.into();
    }
    finals(&all)
}

/// A capture as a veth can carry it: whole frames of Ethernet, in order. Why not, if it cannot.
fn sendable(path: &Path, out: &Path) -> Result<(), String> {
    let mut source = file::open(path, 0).map_err(|error| error.to_string())?;
    let mut writer = Writer::create(out, Output::for_path(out)).unwrap();
    let (mut first, mut last) = (None, 0);
    while let Some(frame) = source.next_frame() {
        let at = *first.get_or_insert(frame.time.0);
        if frame.octets.len() < frame.wire_len as usize {
            return Err("frames are cut".into());
        }
        if frame.time.0 < last {
            return Err("frames are not in order".into());
        }
        last = frame.time.0;
        if last - at > 200_000_000_000 {
            return Err("it lasts too long".into());
        }
        let octets = on_ethernet(&frame).ok_or("not Ethernet, and no IP")?;
        if !(14..65_000).contains(&octets.len()) {
            return Err(format!("a frame of {} octets", octets.len()));
        }
        let frame = Frame {
            octets: &octets,
            wire_len: u32::try_from(octets.len()).unwrap(),
            link: LinkType::ETHERNET,
            interface: 0,
            ..frame
        };
        writer.frame(&frame, None).unwrap();
    }
    writer.finish().unwrap();
    if source.statistics().frames == 0 {
        return Err("it is empty".into());
    }
    Ok(())
}

fn on_ethernet(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let octets = frame.octets;
    let (kind, ip) = match frame.link {
        LinkType::ETHERNET => return Some(octets.to_vec()),
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => (None, octets),
        LinkType::NULL | LinkType::LOOP => (None, octets.get(4..)?),
        LinkType::LINUX_SLL => (octets.get(14..16), octets.get(16..)?),
        LinkType::LINUX_SLL2 => (octets.get(..2), octets.get(20..)?),
        _ => return None,
    };
    let by_version: &[u8] = if ip.first()? >> 4 == 4 {
        &[0x08, 0x00]
    } else {
        &[0x86, 0xdd]
    };
    Some([&[2; 12], kind.unwrap_or(by_version), ip].concat())
}

/// What of the default filter's sessions differs although the filter does not explain it.
///
/// Over IPv4 it hides what of TCP does not begin a TLS record. So a TLS session may look as if
/// it ended early, and DTLS may stand alone; but none may be said to fail that works.
fn unexplained(seen: &[String], wanted: &[String]) -> Option<String> {
    let of_tls = |session: &&String| session.starts_with("\"tls");
    let hosts: Vec<String> = wanted.iter().filter(of_tls).map(|s| host(s)).collect();
    let visible = |list: &[String]| -> Vec<String> {
        let list = list.iter().filter(|session| {
            let with_tls = session.starts_with("\"dtls") && hosts.contains(&host(session));
            !of_tls(session) && !with_tls
        });
        list.cloned().collect()
    };
    if visible(seen) != visible(wanted) {
        return Some(difference(
            "default filter",
            &visible(seen),
            &visible(wanted),
        ));
    }
    let fails = |session: &str| session.contains("\"failed\"") || session.contains("\"degraded\"");
    let claims = seen.iter().filter(|s| fails(s) && !wanted.contains(s));
    let claims: Vec<String> = claims
        .filter(|s| !wanted.iter().any(|w| fails(w) && host(w) == host(s)))
        .cloned()
        .collect();
    (!claims.is_empty()).then(|| difference("claimed by the default filter", &claims, &[]))
}

/// The client's address.
fn host(session: &str) -> String {
    let after = session.split("\"ip\":\"").nth(1).unwrap_or_default();
    after.split('"').next().unwrap_or_default().to_string()
}

/// Sends one capture to three captures of it at once.
fn one(path: &Path) -> Result<String, String> {
    let folder = folder("judged");
    let sent = folder.join("sent.pcapng");
    if let Err(why) = sendable(path, &sent) {
        return Ok(format!("not sent: {why}"));
    }
    let common = ["-i", "va", "--format", "ndjson", "--tls", "all"];
    let all = [&common[..], &["--buffer", "16M", "--all-traffic"]].concat();
    let whole = folder.join("whole.pcapng");
    let write = ["--write", "all", "-w", whole.to_str().unwrap()];
    let children: [Child; 3] = [
        capture(&[&all[..], &write].concat()),
        capture(&[&all[..], &["--threads", "2"]].concat()),
        capture(&[&common[..], &["--buffer", "16M"]].concat()),
    ];
    let count = send(&sent);
    std::thread::sleep(Duration::from_millis(300));
    let [plain, threads, filtered] = children.map(|child| lines(&stop(child)));
    let file = of_file(&sent);
    let mut wrong = Vec::new();
    for (name, seen) in [("one thread", &plain), ("two threads", &threads)] {
        let report = seen.iter().find(|line| line["type"] == "capture").unwrap();
        if report["frames"] != count || report["dropped"] != 0 {
            wrong.push(format!("{name}: {count} sent, {report}"));
        }
        if finals(seen) != file {
            wrong.push(difference(name, &finals(seen), &file));
        }
    }
    if finals(&plain) != of_file(&whole) {
        wrong.push(difference(
            "what was written",
            &finals(&plain),
            &of_file(&whole),
        ));
    }
    wrong.extend(unexplained(&finals(&filtered), &file));
    std::fs::remove_dir_all(&folder).unwrap();
    if wrong.is_empty() {
        Ok(format!("{} sessions", finals(&plain).len()))
    } else {
        Err(wrong.join("\n"))
    }
}

fn difference(name: &str, seen: &[String], wanted: &[String]) -> String {
    let lacks = wanted.iter().filter(|s| !seen.contains(s));
    let has = seen.iter().filter(|s| !wanted.contains(s));
    let lines: Vec<String> = lacks
        .map(|s| format!("  - {s}"))
        .chain(has.map(|s| format!("  + {s}")))
        .collect();
    format!("{name}:\n{}", lines.join("\n"))
}

/// The captures to send, each once.
fn captures() -> Vec<PathBuf> {
    let mut all = common::files(&common::repository("pcaps"), common::is_capture);
    if std::env::var("VPNSCOPE_LIVE").is_ok_and(|value| value == "all") {
        if let Some(corpus) = common::corpus("the lab's captures through a wire") {
            all.extend(common::files(&corpus.join("lab"), common::is_capture));
        }
        let mut once = BTreeMap::new();
        for path in all {
            once.entry(std::fs::read(&path).unwrap()).or_insert(path);
        }
        return once.into_values().collect();
    }
    all.retain(|path| {
        let name = path.display().to_string();
        SAMPLE.iter().any(|wanted| name.contains(wanted))
    });
    all
}

fn begin(path: &Path) -> (PathBuf, Child) {
    let child = again(TEST)
        .env(CAPTURE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (path.into(), child)
}

/// Sends captures, some at a time. Gives what was wrong with which.
fn round(captures: &[PathBuf], at_once: usize) -> Vec<(PathBuf, String)> {
    let mut waiting = captures.iter();
    let mut going: Vec<(PathBuf, Child)> = Vec::new();
    let mut wrong = Vec::new();
    loop {
        going.extend(
            waiting
                .by_ref()
                .take(at_once - going.len())
                .map(|p| begin(p)),
        );
        if going.is_empty() {
            return wrong;
        }
        std::thread::sleep(Duration::from_millis(50));
        let (over, left): (Vec<_>, Vec<_>) = going
            .into_iter()
            .map(|(path, mut child)| (child.try_wait().unwrap().is_some(), path, child))
            .partition(|(is_over, _, _)| *is_over);
        going = left
            .into_iter()
            .map(|(_, path, child)| (path, child))
            .collect();
        for (_, path, child) in over {
            let output = child.wait_with_output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            if output.status.success() {
                let gist = text.lines().find(|line| line.contains("»"));
                println!("{}: {}", path.display(), gist.unwrap_or_default());
            } else {
                wrong.push((path, text));
            }
        }
    }
}

#[test]
fn what_is_sent_through_a_wire_is_judged_like_the_file() {
    if let (Ok(_), Ok(path)) = (std::env::var(INSIDE), std::env::var(CAPTURE)) {
        run("ip link set lo up");
        veth("va", "vb", 65_535);
        match one(Path::new(&path)) {
            Ok(what) => println!("» {what}"),
            Err(what) => panic!("{what}"),
        }
        return;
    }
    if !can(TEST) {
        return;
    }
    let captures = captures();
    assert!(captures.len() >= SAMPLE.len(), "{captures:?}");
    let wrong = round(&captures, AT_ONCE);
    // Where the machine was too busy to send in time, once more with less at once.
    let again: Vec<PathBuf> = wrong.into_iter().map(|(path, _)| path).collect();
    let wrong = round(&again, 4);
    let list: Vec<String> = wrong
        .iter()
        .map(|(path, what)| format!("{}\n{what}", path.display()))
        .collect();
    println!("{} captures, {} a second time", captures.len(), again.len());
    assert!(list.is_empty(), "{} wrong\n{}", list.len(), list.join("\n"));
}

#[test]
fn all_interfaces_at_once_are_judged_too() {
    if !inside("judged::all_interfaces_at_once_are_judged_too") {
        return;
    }
    let path = common::repository("pcaps/ikev2-psk-mismatch/client.pcap");
    let child = capture(&["-i", "any", "--format", "ndjson"]);
    send(&path);
    std::thread::sleep(Duration::from_millis(300));
    let lines = lines(&stop(child));
    let report = lines.iter().find(|line| line["type"] == "capture").unwrap();
    let link = report["link_types"][0].as_u64().unwrap();
    assert!([113, 276].contains(&link), "{link}");
    assert_eq!(finals(&lines), of_file(&path));
}

/// An interface without Ethernet: what is written to the file comes in by it.
#[expect(unsafe_code, reason = "no crate here makes a tun interface")]
fn tun(name: &str) -> std::fs::File {
    use std::os::fd::AsRawFd as _;
    /// `TUNSETIFF`; `IFF_TUN` and `IFF_NO_PI` together.
    const SET: libc::c_ulong = 0x4004_54ca;
    const PLAIN_IP: u16 = 0x1001;
    let tun = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&PLAIN_IP.to_ne_bytes());
    // SAFETY: the kernel reads and writes the 40 octets of a `struct ifreq`, which are there.
    let done = unsafe { libc::ioctl(tun.as_raw_fd(), SET, request.as_mut_ptr()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    run(&format!("ip link set {name} addrgenmode none"));
    run(&format!("ip link set {name} mtu 9000 up"));
    tun
}

#[test]
fn an_interface_without_ethernet_is_judged_too() {
    use std::io::Write as _;
    if !inside("judged::an_interface_without_ethernet_is_judged_too") {
        return;
    }
    if !Path::new("/dev/net/tun").exists() {
        println!("skipped: there is no /dev/net/tun");
        return;
    }
    let mut tun = tun("t0");
    let path = common::repository("pcaps/ikev2-psk-mismatch/client.pcap");
    for filter in [&[][..], &["--all-traffic"]] {
        let words = [&["-i", "t0", "--format", "ndjson"][..], filter].concat();
        let child = capture(&words);
        let mut source = file::open(&path, 0).unwrap();
        while let Some(frame) = source.next_frame() {
            if frame.octets[12..14] == [8, 0] {
                tun.write_all(&frame.octets[14..]).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        let lines = lines(&stop(child));
        let report = lines.iter().find(|line| line["type"] == "capture").unwrap();
        assert_eq!(
            (&report["link_types"][0], &report["frames"]),
            (&101.into(), &4.into())
        );
        assert_eq!(finals(&lines), of_file(&path));
    }
}
