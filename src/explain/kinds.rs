//! In which kinds of session users meet a code or log line: Windows' dialler shows other
//! codes for L2TP than for IKEv2, and none of them for a VPN over TLS.

use super::catalogue::Entry;

/// Whether users can meet the entry where a session is of this kind.
pub(super) fn fits(entry: &Entry, kind: &str) -> bool {
    let is_tls = matches!(kind, "tls" | "dtls" | "tls-vpn");
    let is_ike = matches!(kind, "ikev1" | "ikev2" | "esp");
    let is_open = matches!(kind, "dns" | "radius");
    match entry.product.as_str() {
        "Windows" => windows(entry, kind),
        "xl2tpd" => matches!(kind, "l2tp" | "ikev1" | "esp"),
        "pppd" => matches!(kind, "l2tp" | "ikev1" | "esp" | "pppoe" | "radius"),
        "openconnect" | "ocserv" | "AnyConnect" | "OpenSSL" | "Cisco phone" => is_tls || is_open,
        "Meraki/racoon" => matches!(kind, "ikev1" | "esp"),
        "strongSwan" | "libreswan" | "FortiGate" | "PAN-OS" | "Azure" | "AWS" | "Huawei"
        | "Cisco IOS" => is_ike || is_open,
        _ => kind != "pppoe",
    }
}

/// Windows' codes by number: raserror.h, and IKE's in winerror.h.
fn windows(entry: &Entry, kind: &str) -> bool {
    let Ok(number) = entry.code.parse::<u32>() else {
        return kind != "pppoe";
    };
    let is_of_line = || entry.causes.iter().any(|code| code == "pppoe-refused");
    let is_of_ppp = || entry.stage.starts_with("ppp-");
    match (number, kind) {
        (_, "pppoe") => is_of_line() || is_of_ppp(),
        (10_000..=11_999, _) => true,
        // SSTP, the dialler's own VPN over TLS, is counted and not analysed.
        (_, "tls" | "dtls" | "tls-vpn") => false,
        // Oakley is IKEv1; so are the certificate and the key of an L2TP connection.
        (766 | 781 | 786..=793 | 810 | 811 | 835, _) => matches!(kind, "ikev1" | "l2tp" | "esp"),
        (13_000..=13_999 | 12_345, _) => matches!(kind, "ikev2" | "esp"),
        _ => true,
    }
}
