//! The names that need a frame, from the code tables and from what the code does.

use vpnscope::decap::{Stop, decap};
use vpnscope_dissectors::ike::RawPayload;
use vpnscope_dissectors::ike::v1::codes as v1;
use vpnscope_dissectors::ike::v2::codes::{
    ConfigAttributeType, ExchangeType, IdType, PayloadType, TransformAttributeType, TransformType,
    TsType,
};
use vpnscope_dissectors::ike::v2::{
    ConfigValue, Configuration, Notify, NotifyData, NotifyType, Payload,
};

use vpnscope_dissectors::ike::vendor::Family;

use crate::common::wrap;
use crate::frames::owned;

fn all<T: ToString>(kind: &str, codes: &[T]) -> Vec<String> {
    codes
        .iter()
        .map(|code| format!("{kind} {}", code.to_string()))
        .collect()
}

pub(crate) fn ikev2() -> Vec<String> {
    let payloads: Vec<PayloadType> = PayloadType::KNOWN
        .iter()
        .copied()
        .filter(|code| *code != PayloadType::NONE)
        .collect();
    let notifies: Vec<NotifyType> = NotifyType::KNOWN
        .iter()
        .copied()
        .filter(|code| notify_has_structure(*code))
        .collect();
    let attributes: Vec<ConfigAttributeType> = ConfigAttributeType::KNOWN
        .iter()
        .copied()
        .filter(|code| attribute_has_structure(*code))
        .collect();
    assert!(notifies.len() >= 25, "{notifies:?}");
    assert!(attributes.len() >= 10, "{attributes:?}");
    [
        all("exchange", ExchangeType::KNOWN),
        all("payload", &payloads),
        all("transform", TransformType::KNOWN),
        all("transform attribute", TransformAttributeType::KNOWN),
        all("notify", &notifies),
        all("identity", IdType::KNOWN),
        all("selector", TsType::KNOWN),
        all("config attribute", &attributes),
    ]
    .concat()
}

fn raw(payload_type: PayloadType, body: &[u8]) -> RawPayload<'_> {
    RawPayload {
        payload_type: payload_type.0,
        next_payload: 0,
        reserved: 0,
        length: 0,
        offset: 28,
        body,
    }
}

/// Data of many lengths: a type with a structure reads or refuses some of them, one without takes
/// all as they are.
fn notify_has_structure(code: NotifyType) -> bool {
    (1..=40usize).any(|len| {
        let mut body = vec![0, 0];
        body.extend(code.0.to_be_bytes());
        body.extend(std::iter::repeat_n(0x61, len));
        let raw = raw(PayloadType::N, &body);
        assert!(matches!(Payload::parse(&raw), Ok(Payload::Notify(_))));
        let notify = Notify::parse(&raw).expect("a notify");
        !matches!(notify.content(), Ok(NotifyData::Octets(_)))
    })
}

fn attribute_has_structure(code: ConfigAttributeType) -> bool {
    (1..=40u8).any(|len| {
        let mut body = vec![1, 0, 0, 0];
        body.extend(code.0.to_be_bytes());
        body.extend([0, len]);
        body.extend(std::iter::repeat_n(0x61, len.into()));
        let raw = raw(PayloadType::CP, &body);
        let config = Configuration::parse(&raw).expect("a configuration");
        config
            .attributes()
            .flatten()
            .any(|attribute| !matches!(attribute.value(), ConfigValue::Octets(_)))
    })
}

/// Every link type that is read, found by asking for each number there is; every shape of
/// encapsulation that the tests can build.
pub(crate) fn link() -> Vec<String> {
    let unread = |stop: &Stop| format!("{stop:?}").contains("a link type that is not read");
    let links: Vec<String> = (0..=u16::MAX)
        .filter(|link| {
            let frame = owned(*link, vec![0; 4]);
            !decap(&frame.as_frame(1))
                .stopped
                .is_some_and(|stop| unread(&stop))
        })
        .map(|link| format!("link {link}"))
        .collect();
    assert!((10..100).contains(&links.len()), "{links:?}");
    let mut peels: Vec<String> = wrap::ALL
        .iter()
        .flat_map(|wrapping| wrapping.peels)
        .map(|peel| {
            let word = peel.split(':').next().expect("a word");
            // Its number is a version, not an identifier.
            let kind = if word == "erspan" { peel } else { word };
            format!("encapsulation {kind}")
        })
        .collect();
    peels.sort();
    peels.dedup();
    [links, peels].concat()
}

/// What extensions with a structure, messages and versions of TLS and DTLS must say.
pub(crate) fn tls() -> Vec<String> {
    [
        "extension server_name",
        "extension alpn",
        "extension supported_versions",
        "extension supported_groups",
        "extension key_share",
        "extension key_share of a post-quantum hybrid",
        "extension pre_shared_key",
        "extension pre_shared_key chosen",
        "extension psk_key_exchange_modes",
        "extension cookie",
        "extension session_ticket",
        "extension renegotiation_info",
        "extension max_fragment_length",
        "extension record_size_limit",
        "extension status_request",
        "extension encrypted_client_hello",
        "extension connection_id",
        "extension padding",
        "hello retry request of TLS",
        "new session ticket",
        "certificate status",
        "server key exchange",
        "DTLS 1.0",
        "DTLS 1.2",
        "DTLS 1.3",
    ]
    .map(String::from)
    .to_vec()
}

/// What captures of IKEv1 hold: the sweeps take every code of the tables besides.
pub(crate) fn ikev1() -> Vec<String> {
    [
        "exchange 4 Aggressive",
        "payload 1 Security Association",
        "attribute ISAKMP 1 ENCRYPTION_ALGORITHM",
        "attribute ISAKMP 2 HASH_ALGORITHM",
        "attribute ISAKMP 3 AUTHENTICATION_METHOD",
        "attribute ISAKMP 4 GROUP_DESCRIPTION",
        "attribute ISAKMP 11 LIFE_TYPE",
        "attribute ISAKMP 12 LIFE_DURATION",
        "payload 4 Key Exchange",
        "payload 10 Nonce",
        "payload 5 Identification",
        "payload 13 Vendor ID",
        "vendor XAUTH",
        "vendor Dead Peer Detection 1.0",
        "payload 8 Hash",
        "exchange 2 Identity Protection (Main Mode)",
        "exchange 5 Informational",
        "payload 11 Notification",
        "notify 14 NO-PROPOSAL-CHOSEN",
        "attribute ISAKMP 14 KEY_LENGTH",
        "vendor FRAGMENTATION (80000000)",
        "vendor RFC 3947 NAT-T",
        "vendor draft-ietf-ipsec-nat-t-ike-02\\n",
        "payload 20 NAT-D",
        "payload 7 Certificate Request",
        "payload 132 Cisco Fragment",
        "exchange 32 Quick Mode",
        "exchange 6 Transaction (Config Mode)",
        "vendor Cisco Unity 1.0",
        "vendor draft-ietf-ipsec-nat-t-ike-03",
        "vendor draft-ietf-ipsec-nat-t-ike-02",
        "vendor draft-ietf-ipsec-nat-t-ike-01",
        "vendor draft-ietf-ipsec-nat-t-ike-00",
    ]
    .map(String::from)
    .to_vec()
}

/// Every name in the tables of IKEv1, and every family of vendor ids.
pub(crate) fn ikev1_tables() -> Vec<String> {
    let payloads: Vec<v1::PayloadType> = v1::PayloadType::KNOWN
        .iter()
        .copied()
        .filter(|code| *code != v1::PayloadType::NONE)
        .collect();
    [
        all("exchange", v1::ExchangeType::KNOWN),
        all("payload", &payloads),
        all("ike attribute", v1::IkeAttribute::KNOWN),
        all("ipsec attribute", v1::IpsecAttribute::KNOWN),
        all("config attribute", v1::ConfigAttribute::KNOWN),
        all("identity", v1::IdType::KNOWN),
        all("notify", v1::NotifyType::KNOWN),
        all("vendor", Family::ALL),
    ]
    .concat()
}

/// What captures of L2TP and PPP hold: the sweeps take every code of the tables besides.
pub(crate) fn l2tp() -> Vec<String> {
    [
        "message 1 SCCRQ",
        "avp 0 Message Type",
        "avp 2 Protocol Version",
        "avp 3 Framing Capabilities",
        "avp 4 Bearer Capabilities",
        "avp 6 Firmware Revision",
        "avp 7 Host Name",
        "avp 8 Vendor Name",
        "avp 9 Assigned Tunnel ID",
        "avp 10 Receive Window Size",
        "message 2 SCCRP",
        "message 3 SCCCN",
        "message 10 ICRQ",
        "avp 14 Assigned Session ID",
        "avp 15 Call Serial Number",
        "avp 18 Bearer Type",
        "message 11 ICRP",
        "message 12 ICCN",
        "avp 24 (Tx) Connect Speed",
        "avp 19 Framing Type",
        "avp 38 Rx Connect Speed",
        "ppp 49185 Link Control Protocol 1 Configure-Request",
        "ppp Link Control Protocol option 1 Maximum-Receive-Unit",
        "ppp Link Control Protocol option 5 Magic-Number",
        "ppp Link Control Protocol option 3 Authentication-Protocol",
        "ppp 49185 Link Control Protocol 2 Configure-Ack",
        "ppp 49185 Link Control Protocol 3 Configure-Nak",
        "ppp 49185 Link Control Protocol 5 Terminate-Request",
        "ppp 49185 Link Control Protocol 6 Terminate-Ack",
        "message 14 CDN",
        "ppp 49185 Link Control Protocol 4 Configure-Reject",
        "ppp 49699 Challenge Handshake Authentication Protocol 1 Challenge",
        "ppp 49699 Challenge Handshake Authentication Protocol 2 Response",
        "ppp 49699 Challenge Handshake Authentication Protocol 3 Success",
        "ppp 33021 Compression Control Protocol 1 Configure-Request",
        "ppp 49185 Link Control Protocol 8 Protocol-Reject",
        "ppp 32801 Internet Protocol Control Protocol 1 Configure-Request",
        "ppp Internet Protocol Control Protocol option 3 IP-Address",
        "ppp 32801 Internet Protocol Control Protocol 2 Configure-Ack",
        "ppp 32801 Internet Protocol Control Protocol 3 Configure-Nak",
        "message 4 StopCCN",
        "message 6 HELLO",
        "ppp Internet Protocol Control Protocol option 129 Primary DNS Server Address",
        "ppp 49187 Password Authentication Protocol 1 Authenticate-Request",
        "ppp 32801 Internet Protocol Control Protocol 4 Configure-Reject",
        "ppp 49187 Password Authentication Protocol 3 Authenticate-Nak",
        "ppp 49187 Password Authentication Protocol 2 Authenticate-Ack",
        "ppp 49699 Challenge Handshake Authentication Protocol 4 Failure",
        "avp 11 Challenge",
        "ppp MS-CHAP failure",
        "l2tp result code",
    ]
    .map(String::from)
    .to_vec()
}
