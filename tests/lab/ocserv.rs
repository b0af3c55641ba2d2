//! ocserv as the gateway, openconnect as the client.

use std::process::{Command, Output};
use std::time::Duration;

use super::namespace::{GATEWAY, Namespaces};
use super::{Daemon, Folder, certificate, has, skip, tail, until};

/// A running ocserv.
pub struct Ocserv {
    daemon: Daemon,
    folder: Folder,
}

impl Ocserv {
    /// Starts it in the gateway's namespace with this priority string of GnuTLS.
    pub fn start(namespaces: &Namespaces, priorities: &str) -> Option<Self> {
        for program in ["ocserv", "openssl"] {
            if !has(program) {
                skip(&format!("no {program}"));
                return None;
            }
        }
        let folder = Folder::new();
        certificate(&folder, "gw.example.test");
        let path = folder.0.display().to_string();
        folder.write("passwd", "");
        folder.write(
            "conf",
            &format!(
                "auth = \"plain[passwd={path}/passwd]\"\ntcp-port = 443\nudp-port = 443\n\
                 run-as-user = nobody\nrun-as-group = nogroup\nsocket-file = {path}/socket\n\
                 pid-file = {path}/pid\nserver-cert = {path}/cert.pem\nserver-key = {path}/key.pem\n\
                 tls-priorities = \"{priorities}\"\nisolate-workers = false\nmax-clients = 8\n\
                 rate-limit-ms = 0\nmax-ban-score = 0\nkeepalive = 300\ndpd = 90\n\
                 use-occtl = false\nlog-level = 2\ndevice = vpns\nipv4-network = 10.99.0.0\n\
                 ipv4-netmask = 255.255.255.0\ncisco-client-compat = true\ndtls-legacy = true\n"
            ),
        );
        let mut command = namespaces.gateway("ocserv");
        command.args(["-f", "-c"]).arg(folder.0.join("conf"));
        let mut one = Self {
            daemon: Daemon::start(&mut command, &folder.0.join("out")),
            folder,
        };
        let log = one.folder.0.join("out");
        let up = until(Duration::from_secs(10), || {
            let sockets = namespaces.gateway("cat").arg("/proc/net/tcp").output();
            sockets.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(":01BB "))
        });
        if !up || !one.daemon.is_running() {
            skip(&format!("ocserv does not start: {}", tail(&log)));
            return None;
        }
        Some(one)
    }

    /// The end of what it wrote.
    pub fn log(&self) -> String {
        tail(&self.folder.0.join("out"))
    }
}

/// Lets openconnect ask the gateway for a login form.
pub fn openconnect(namespaces: &Namespaces) -> Option<Output> {
    if !has("openconnect") {
        skip("no openconnect");
        return None;
    }
    let mut command: Command = namespaces.client("openconnect");
    command.args(["--authenticate", "--non-inter", "--protocol=anyconnect"]);
    Some(command.arg(format!("https://{GATEWAY}")).output().unwrap())
}
