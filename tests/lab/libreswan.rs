//! Libreswan as the gateway. It is unpacked beside strongSwan by contrib/install-lab.sh, and its
//! binaries appear at their place in the mount namespace of the daemon alone.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::namespace::{GATEWAY, Namespaces};
use super::{Daemon, Folder, has, skip, tail, until};

/// A running pluto.
pub struct Libreswan {
    daemon: Daemon,
    folder: Folder,
}

fn programs() -> PathBuf {
    let root = std::env::var_os("VPNSCOPE_LIBRESWAN")
        .map_or_else(|| "/var/cache/vpnscope-lab/libreswan".into(), PathBuf::from);
    root.join("usr/libexec/ipsec")
}

impl Libreswan {
    /// Starts it in the gateway's namespace with these lines for its one connection.
    pub fn start(namespaces: &Namespaces, lines: &[&str]) -> Option<Self> {
        let programs = programs();
        if !programs.join("pluto").exists() || !has("certutil") {
            skip("no Libreswan, or no certutil (contrib/install-lab.sh)");
            return None;
        }
        let folder = Folder::new();
        let path = folder.0.display().to_string();
        for name in ["nss", "run"] {
            std::fs::create_dir_all(folder.0.join(name)).unwrap();
        }
        let database = Command::new("certutil")
            .args(["-N", "--empty-password", "-d"])
            .arg(format!("sql:{path}/nss"))
            .output()
            .unwrap();
        assert!(database.status.success());
        let conf = format!(
            "config setup\n  logfile={path}/log\n  ikev1-policy=accept\nconn g\n  left={GATEWAY}\n  \
             right=%any\n  authby=secret\n  leftid=@gw.example.test\n  \
             auto=add\n  {}\n",
            lines.join("\n  ")
        );
        let conf = folder.write("conf", &conf);
        folder.write("secrets", "%any %any : PSK \"lab\"\n");
        let script = format!(
            "mount -t tmpfs none /usr/libexec && mkdir /usr/libexec/ipsec && \
             mount --bind {} /usr/libexec/ipsec && exec /usr/libexec/ipsec/pluto --nofork \
             --config {path}/conf --rundir {path}/run --secretsfile {path}/secrets \
             --nssdir {path}/nss --stderrlog",
            programs.display()
        );
        let mut command = namespaces.gateway("sh");
        command.args(["-c", &script]);
        let mut one = Self {
            daemon: Daemon::start(&mut command, &folder.0.join("out")),
            folder,
        };
        let control = one.folder.0.join("run/pluto.ctl");
        if !until(Duration::from_secs(10), || control.exists()) || !one.daemon.is_running() {
            let log = tail(&one.folder.0.join("out"));
            skip(&format!("pluto does not start: {log}"));
            return None;
        }
        // The socket is there before anybody listens on it.
        let mut said = String::new();
        let added = until(Duration::from_secs(5), || {
            let output = Command::new(programs.join("addconn"))
                .arg("--config")
                .arg(&conf)
                .arg("--ctlsocket")
                .arg(&control)
                .arg("g")
                .output()
                .unwrap();
            said = String::from_utf8_lossy(&output.stderr).into_owned();
            output.status.success()
        });
        assert!(added, "{said}{}", tail(&one.folder.0.join("out")));
        let listening = Command::new(programs.join("whack"))
            .arg("--rundir")
            .arg(one.folder.0.join("run"))
            .arg("--listen")
            .output()
            .unwrap();
        assert!(listening.status.success());
        let log = one.folder.0.join("out");
        let up = until(Duration::from_secs(5), || {
            super::text(&log).contains("loading secrets")
        });
        assert!(up, "{}", tail(&log));
        Some(one)
    }

    /// What it wrote.
    pub fn log(&self) -> PathBuf {
        self.folder.0.join("out")
    }
}
