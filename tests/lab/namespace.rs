//! Two network namespaces with a cable between them.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{has, is_later, is_root, skip};

/// The client's address.
pub const CLIENT: &str = "198.51.100.10";
/// The gateway's address.
pub const GATEWAY: &str = "198.51.100.1";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A client's and a gateway's namespace; removed at the end.
pub struct Namespaces {
    client: String,
    gateway: String,
}

fn ip(args: &str) -> bool {
    Command::new("ip")
        .args(args.split_whitespace())
        .output()
        .is_ok_and(|output| output.status.success())
}

impl Namespaces {
    /// Makes them; `None`, with the reason said, where that cannot be.
    pub fn new() -> Option<Self> {
        if is_later() {
            return None;
        }
        if !is_root() {
            skip("namespaces need root");
            return None;
        }
        if !has("ip") {
            skip("no ip (iproute2)");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{}{number}", std::process::id() % 100_000);
        let one = Self {
            client: format!("vsc{tag}"),
            gateway: format!("vsg{tag}"),
        };
        let (c, g) = (&one.client, &one.gateway);
        let steps = [
            format!("netns add {c}"),
            format!("netns add {g}"),
            format!("link add {c} netns {c} type veth peer name {g} netns {g}"),
            format!("-n {c} addr add {CLIENT}/24 dev {c}"),
            format!("-n {g} addr add {GATEWAY}/24 dev {g}"),
            format!("-n {c} link set lo up"),
            format!("-n {g} link set lo up"),
            format!("-n {c} link set {c} up"),
            format!("-n {g} link set {g} up"),
        ];
        for step in &steps {
            if !ip(step) {
                skip(&format!("ip {step} failed"));
                return None;
            }
        }
        Some(one)
    }

    /// A program in the client's namespace.
    pub fn client(&self, program: &str) -> Command {
        Self::within(&self.client, program)
    }

    /// A program in the gateway's namespace.
    pub fn gateway(&self, program: &str) -> Command {
        Self::within(&self.gateway, program)
    }

    /// The program under test in the client's namespace.
    pub fn vpnscope(&self) -> Command {
        self.client(env!("CARGO_BIN_EXE_vpnscope"))
    }

    /// The client's interface.
    pub fn client_interface(&self) -> &str {
        &self.client
    }

    /// The gateway's interface.
    pub fn gateway_interface(&self) -> &str {
        &self.gateway
    }

    fn within(namespace: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.client));
        ip(&format!("netns del {}", self.gateway));
    }
}
