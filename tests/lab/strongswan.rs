//! strongSwan as the gateway and as the client.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::namespace::{CLIENT, GATEWAY, Namespaces};
use super::{Daemon, Folder, certificate, has, skip, tail, until};

/// A running charon.
pub struct Strongswan {
    daemon: Daemon,
    folder: Folder,
    is_client: bool,
}

/// What it is set up with.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// 1 or 2.
    pub version: u8,
    pub proposals: &'a str,
    pub aggressive: bool,
    /// How the gateway proves itself.
    pub local: &'a str,
    /// How the client does, one block for each round.
    pub remote: &'a [&'a str],
    /// More lines of strongswan.conf.
    pub extra: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            version: 2,
            proposals: "aes256-sha256-x25519",
            aggressive: false,
            local: PSK_GATEWAY,
            remote: &["auth = psk"],
            extra: "",
        }
    }
}

/// The gateway with a key shared before.
pub const PSK_GATEWAY: &str = "auth = psk\n id = gw.example.test";
/// The gateway with its certificate.
pub const CERTIFICATE: &str = "auth = pubkey\n certs = cert.pem\n id = gw.example.test";

/// Half-open SAs of earlier runs must not bring cookies into the next one.
pub const NO_COOKIES: &str =
    "cookie_threshold = 1000\ncookie_threshold_ip = 1000\nblock_threshold = 1000";

const PLUGINS: &str = "random nonce openssl curve25519 hmac kdf sha1 sha2 md5 aes gcm des gmp pem \
    pkcs1 pkcs8 x509 pubkey kernel-netlink socket-default vici xauth-generic chapoly";

impl Strongswan {
    /// Starts it in the gateway's namespace; `None`, with the reason said, where it is not there.
    pub fn start(namespaces: &Namespaces, setup: &Setup<'_>) -> Option<Self> {
        let mut one = Self::run(
            namespaces.gateway("/usr/sbin/charon-systemd"),
            setup.extra,
            false,
        )?;
        one.load(namespaces, setup);
        Some(one)
    }

    /// Starts it in the client's namespace.
    pub fn client(namespaces: &Namespaces, setup: &Setup<'_>) -> Option<Self> {
        let mut one = Self::run(
            namespaces.client("/usr/sbin/charon-systemd"),
            setup.extra,
            true,
        )?;
        one.load(namespaces, setup);
        Some(one)
    }

    fn run(mut command: Command, extra: &str, is_client: bool) -> Option<Self> {
        if !has("charon-systemd") || !has("swanctl") || !has("openssl") {
            skip("no strongSwan (charon-systemd, swanctl), or no openssl");
            return None;
        }
        let folder = Folder::new();
        let path = folder.0.display().to_string();
        for name in ["x509", "private"] {
            std::fs::create_dir_all(folder.0.join(name)).unwrap();
        }
        certificate(&folder, "gw.example.test");
        std::fs::rename(folder.0.join("cert.pem"), folder.0.join("x509/cert.pem")).unwrap();
        std::fs::rename(folder.0.join("key.pem"), folder.0.join("private/key.pem")).unwrap();
        folder.write(
            "strongswan.conf",
            &format!(
                "charon-systemd {{\n load = {PLUGINS}\n install_routes = no\n {extra}\n\
                 retransmit_tries = 1\n\
                 i_dont_care_about_security_and_use_aggressive_mode_psk = yes\n\
                 plugins {{ vici {{ socket = unix://{path}/vici }} }}\n\
                 filelog {{ a {{ path = {path}/charon.log\n flush_line = yes\n default = 1\n\
                 ike = 2 }} }}\n}}\n"
            ),
        );
        command.env("STRONGSWAN_CONF", folder.0.join("strongswan.conf"));
        let mut one = Self {
            daemon: Daemon::start(&mut command, &folder.0.join("out")),
            folder,
            is_client,
        };
        let socket = one.folder.0.join("vici");
        if !until(Duration::from_secs(10), || socket.exists()) || !one.daemon.is_running() {
            skip(&format!(
                "charon does not start: {}",
                tail(&one.folder.0.join("out"))
            ));
            return None;
        }
        Some(one)
    }

    fn swanctl(&self, namespaces: &Namespaces) -> Command {
        let mut command = if self.is_client {
            namespaces.client("swanctl")
        } else {
            namespaces.gateway("swanctl")
        };
        command.env("SWANCTL_DIR", &self.folder.0);
        command.env("STRONGSWAN_CONF", self.folder.0.join("strongswan.conf"));
        command
    }

    fn uri(&self) -> String {
        format!("unix://{}", self.folder.0.join("vici").display())
    }

    /// Sets it up anew.
    pub fn load(&mut self, namespaces: &Namespaces, setup: &Setup<'_>) {
        let aggressive = if setup.aggressive { "yes" } else { "no" };
        let (ours, theirs, addresses) = if self.is_client {
            let addresses = format!("local_addrs = {CLIENT}\n remote_addrs = {GATEWAY}");
            ("remote", "local", addresses)
        } else {
            ("local", "remote", format!("local_addrs = {GATEWAY}"))
        };
        let blocks: Vec<String> = (1..)
            .zip(setup.remote)
            .map(|(n, block)| format!("{theirs}-{n} {{ {block} }}"))
            .collect();
        let text = format!(
            "connections {{ g {{\n version = {}\n {addresses}\n proposals = {}\n\
             aggressive = {aggressive}\n {ours} {{ {} }}\n {}\n\
             children {{ n {{ {ours}_ts = 10.0.0.0/24 }} }} }} }}\n\
             secrets {{ ike-1 {{ secret = lab }} }}\n",
            setup.version,
            setup.proposals,
            setup.local,
            blocks.join("\n"),
        );
        let file = self.folder.write("swanctl.conf", &text);
        let output = self
            .swanctl(namespaces)
            .args(["--load-all", "--clear", "--uri", &self.uri(), "--file"])
            .arg(file)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// As the client: calls the gateway, and gives what is known after so many seconds.
    pub fn initiate(&self, namespaces: &Namespaces, seconds: u32) -> Output {
        self.swanctl(namespaces)
            .args(["--initiate", "--child", "n", "--uri", &self.uri()])
            .args(["--timeout", &seconds.to_string()])
            .output()
            .unwrap()
    }

    /// As the client: forgets the gateway.
    pub fn forget(&self, namespaces: &Namespaces) {
        let output = self
            .swanctl(namespaces)
            .args(["--terminate", "--ike", "g", "--force", "--uri", &self.uri()])
            .output();
        assert!(output.is_ok());
    }

    /// Where it writes.
    pub fn log(&self) -> PathBuf {
        self.folder.0.join("charon.log")
    }

    /// The folder it works in.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }
}
