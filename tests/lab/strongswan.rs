//! strongSwan as the gateway.

use std::path::PathBuf;
use std::time::Duration;

use super::namespace::{GATEWAY, Namespaces};
use super::{Daemon, Folder, has, skip, tail, until};

/// A running charon.
pub struct Strongswan {
    daemon: Daemon,
    folder: Folder,
}

/// What the gateway is set up with.
pub struct Setup<'a> {
    /// 1 or 2.
    pub version: u8,
    pub proposals: &'a str,
    pub aggressive: bool,
    /// More lines of strongswan.conf.
    pub extra: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            version: 2,
            proposals: "aes256-sha256-x25519",
            aggressive: false,
            extra: "",
        }
    }
}

const PLUGINS: &str = "random nonce openssl curve25519 hmac kdf sha1 sha2 md5 aes gcm des gmp pem \
    pkcs1 x509 pubkey kernel-netlink socket-default vici";

impl Strongswan {
    /// Starts it in the gateway's namespace; `None`, with the reason said, where it is not there.
    pub fn start(namespaces: &Namespaces, setup: &Setup<'_>) -> Option<Self> {
        if !has("charon-systemd") || !has("swanctl") {
            skip("no strongSwan (charon-systemd, swanctl)");
            return None;
        }
        let folder = Folder::new();
        let path = folder.0.display().to_string();
        let extra = setup.extra;
        folder.write(
            "strongswan.conf",
            &format!(
                "charon-systemd {{\n load = {PLUGINS}\n install_routes = no\n {extra}\n\
                 i_dont_care_about_security_and_use_aggressive_mode_psk = yes\n\
                 plugins {{ vici {{ socket = unix://{path}/vici }} }}\n\
                 filelog {{ a {{ path = {path}/charon.log\n flush_line = yes\n default = 1\n\
                 ike = 2 }} }}\n}}\n"
            ),
        );
        let mut command = namespaces.gateway("/usr/sbin/charon-systemd");
        command.env("STRONGSWAN_CONF", folder.0.join("strongswan.conf"));
        let mut one = Self {
            daemon: Daemon::start(&mut command, &folder.0.join("out")),
            folder,
        };
        let socket = one.folder.0.join("vici");
        if !until(Duration::from_secs(10), || socket.exists()) || !one.daemon.is_running() {
            skip(&format!(
                "charon does not start: {}",
                tail(&one.folder.0.join("out"))
            ));
            return None;
        }
        one.load(namespaces, setup);
        Some(one)
    }

    /// Sets it up anew.
    pub fn load(&mut self, namespaces: &Namespaces, setup: &Setup<'_>) {
        let aggressive = if setup.aggressive { "yes" } else { "no" };
        let text = format!(
            "connections {{ g {{\n version = {}\n local_addrs = {GATEWAY}\n proposals = {}\n\
             aggressive = {aggressive}\n local {{ auth = psk\n id = gw.example.test }}\n\
             remote {{ auth = psk }}\n\
             children {{ n {{ local_ts = 10.0.0.0/24 }} }} }} }}\n\
             secrets {{ ike-1 {{ secret = lab }} }}\n",
            setup.version, setup.proposals
        );
        let file = self.folder.write("swanctl.conf", &text);
        let socket = format!("unix://{}", self.folder.0.join("vici").display());
        let output = namespaces
            .gateway("swanctl")
            .args(["--load-all", "--clear", "--uri", &socket, "--file"])
            .arg(file)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// What it wrote.
    pub fn log(&self) -> PathBuf {
        self.folder.0.join("charon.log")
    }
}
