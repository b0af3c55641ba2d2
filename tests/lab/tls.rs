//! openssl and GnuTLS as servers on loopback.

use std::io::Read as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::{Daemon, Folder, certificate, free_tcp, free_udp, has, is_later, skip, tail, until};

/// A server with a certificate of its own.
pub struct Server {
    daemon: Daemon,
    folder: Folder,
    pub port: u16,
}

/// Lets old versions through: Debian refuses them.
const LEGACY: &str = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n\
    MinProtocol = None\nCipherString = ALL:@SECLEVEL=0\n";

impl Server {
    /// `openssl s_server` with these options.
    pub fn openssl(options: &[&str], dtls: bool) -> Option<Self> {
        Self::openssl_for("gw.example.test", options, dtls)
    }

    /// The same with a certificate for another name.
    pub fn openssl_for(name: &str, options: &[&str], dtls: bool) -> Option<Self> {
        if is_later() {
            return None;
        }
        if !has("openssl") {
            skip("no openssl");
            return None;
        }
        let folder = Folder::new();
        certificate(&folder, name);
        folder.write("openssl.cnf", LEGACY);
        let port = if dtls { free_udp() } else { free_tcp() };
        let mut command = Command::new("openssl");
        command
            .args([
                "s_server", "-key", "key.pem", "-cert", "cert.pem", "-accept",
            ])
            .arg(format!("127.0.0.1:{port}"))
            .args(options)
            .env("OPENSSL_CONF", folder.0.join("openssl.cnf"))
            .current_dir(&folder.0);
        Self::started(command, folder, port, dtls)
    }

    /// `gnutls-serv` with these options.
    pub fn gnutls(options: &[&str], dtls: bool) -> Option<Self> {
        if is_later() {
            return None;
        }
        if !has("gnutls-serv") || !has("openssl") {
            skip("no gnutls-serv (gnutls-bin), or no openssl");
            return None;
        }
        let folder = Folder::new();
        certificate(&folder, "gw.example.test");
        let port = if dtls { free_udp() } else { free_tcp() };
        let mut command = Command::new("gnutls-serv");
        command
            .args([
                "--x509keyfile",
                "key.pem",
                "--x509certfile",
                "cert.pem",
                "--echo",
            ])
            .args(["--port", &port.to_string()])
            .args(options)
            .current_dir(&folder.0);
        if dtls {
            command.arg("--udp");
        }
        Self::started(command, folder, port, dtls)
    }

    fn started(mut command: Command, folder: Folder, port: u16, dtls: bool) -> Option<Self> {
        let log = folder.0.join("out");
        let mut daemon = Daemon::start(&mut command, &log);
        let up = until(Duration::from_secs(10), || {
            if dtls {
                bound(port)
            } else {
                TcpStream::connect(("127.0.0.1", port)).is_ok()
            }
        });
        if !up || !daemon.is_running() {
            skip(&format!("{command:?} does not start: {}", tail(&log)));
            return None;
        }
        Some(Self {
            daemon,
            folder,
            port,
        })
    }

    pub fn at(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn log(&self) -> String {
        tail(&self.folder.0.join("out"))
    }

    pub fn is_running(&mut self) -> bool {
        self.daemon.is_running()
    }
}

/// Whether a UDP port is bound.
pub fn bound(port: u16) -> bool {
    let mut table = String::new();
    for name in ["/proc/net/udp", "/proc/net/udp6"] {
        if let Ok(mut file) = std::fs::File::open(name) {
            let _ = file.read_to_string(&mut table);
        }
    }
    table.contains(&format!(":{port:04X} "))
}
