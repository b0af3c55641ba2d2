//! The names that need a frame, from the code tables and from what the code does.

use vpnscope::decap::{Stop, decap};
use vpnscope_dissectors::ike::RawPayload;
use vpnscope_dissectors::ike::v2::codes::{
    ConfigAttributeType, ExchangeType, IdType, PayloadType, TransformAttributeType, TransformType,
    TsType,
};
use vpnscope_dissectors::ike::v2::{
    ConfigValue, Configuration, Notify, NotifyData, NotifyType, Payload,
};

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
