//! What can be captured from.

use std::net::IpAddr;

use pcap::{ConnectionStatus, Device};

use super::rights;
use crate::source::SourceError;

/// An interface of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, as `capture -i` takes it.
    pub name: String,
    /// What the system says of it.
    pub description: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Whether a cable or a peer is there; `None` where that means nothing.
    pub connected: Option<bool>,
}

/// The interfaces of this machine that carry IP, in the system's order.
pub fn interfaces() -> Result<Vec<Interface>, SourceError> {
    let devices = Device::list().map_err(|error| SourceError::Interface {
        interface: "interfaces".into(),
        what: error.to_string(),
    })?;
    Ok(devices
        .into_iter()
        .filter(|device| !is_other_bus(&device.name))
        .map(interface)
        .collect())
}

/// Which right this program lacks to capture, and the command that grants it.
pub fn missing_right() -> Option<String> {
    (!rights::can_capture()).then(rights::how_to_grant)
}

fn interface(device: Device) -> Interface {
    let (up, loopback) = (device.flags.is_up(), device.flags.is_loopback());
    Interface {
        up,
        loopback,
        connected: match device.flags.connection_status {
            ConnectionStatus::Connected => Some(true),
            ConnectionStatus::Disconnected => Some(false),
            ConnectionStatus::Unknown | ConnectionStatus::NotApplicable => None,
        },
        name: device.name,
        description: device.desc,
        addresses: device.addresses.into_iter().map(|a| a.addr).collect(),
    }
}

/// libpcap also lists what is no network.
fn is_other_bus(name: &str) -> bool {
    ["bluetooth", "dbus-", "nflog", "nfqueue", "usbmon", "rdma"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_listed_and_no_usb_bus() {
        let all = interfaces().unwrap();
        assert!(all.iter().any(|i| i.loopback));
        assert!(all.iter().all(|i| !i.name.starts_with("usbmon")));
    }
}
