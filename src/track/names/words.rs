//! Which names people give to VPN gateways.

/// Whether a name looks like that of a VPN gateway: one of its labels is, or begins or ends
/// with, a word that people use for one.
pub fn looks_like_vpn(name: &str) -> bool {
    thread_local! {
        /// The name that was asked about last: the same one is asked about several times.
        static JUDGED: std::cell::RefCell<(String, bool)> =
            const { std::cell::RefCell::new((String::new(), false)) };
    }
    JUDGED.with_borrow_mut(|(last, verdict)| {
        if last != name {
            last.clear();
            last.push_str(name);
            *verdict = holds_word_of_vpn(name);
        }
        *verdict
    })
}

fn holds_word_of_vpn(name: &str) -> bool {
    const WORDS: [&str; 14] = [
        "vpn",
        "ras",
        "remote",
        "connect",
        "gw",
        "gateway",
        "anyconnect",
        "sslvpn",
        "ipsec",
        "ikev2",
        "l2tp",
        "dialin",
        "einwahl",
        "webvpn",
    ];
    const PARTS: [&str; 3] = ["vpn", "anyconnect", "globalprotect"];
    let host = name.trim_end_matches('.');
    // The registered domain says who runs it, not what it is: the last two labels count only
    // with an unmistakable word.
    let count = host.split('.').count();
    let own = count.saturating_sub(2).max(1);
    host.split('.').enumerate().any(|(place, label)| {
        let bare = label.trim_matches(|c: char| c.is_ascii_digit() || c == '-');
        let word = place < own
            && label.split('-').chain([bare]).any(|part| {
                let part = part.trim_matches(|c: char| c.is_ascii_digit());
                WORDS.iter().any(|word| word.eq_ignore_ascii_case(part))
            });
        word || PARTS.iter().any(|part| holds(label, part))
    })
}

/// Whether a label holds a word, in capitals or not.
fn holds(label: &str, word: &str) -> bool {
    label
        .as_bytes()
        .windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_gateways() {
        for name in [
            "vpn.example.test",
            "vpn2.example.test",
            "ras.firm.example",
            "gw-01.firm.example",
            "sslvpn.firm.example",
            "remote.firm.example.",
            "myvpn.example.com",
            "eu-west.corpvpn.net",
        ] {
            assert!(looks_like_vpn(name), "{name}");
        }
        for name in [
            "www.example.com",
            "connectivity-check.ubuntu.com",
            "grass.example.com",
            "mail.gw.com",
            "",
        ] {
            assert!(!looks_like_vpn(name), "{name}");
        }
    }
}
