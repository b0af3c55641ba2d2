//! IKE messages, described.

use vpnscope_dissectors::ike::v1;
use vpnscope_dissectors::ike::v2::{self, NotifyData, NotifyType};
use vpnscope_dissectors::ike::{self, Header, Spi, vendor};
use vpnscope_dissectors::{Octets, ParseError};

use super::super::conversation::{Message, Side};
use super::super::ike::detection;
use super::{Description, Field, Round, Rule, list, same, varies};

/// Describes an IKE message.
pub(super) fn describe(message: &Message) -> Option<Description> {
    let read = ike::Message::parse(&message.octets).ok()?;
    let mut facts = Facts::default();
    if read.header.major() >= 2 {
        facts.read_v2(&read, message);
    } else {
        facts.read_v1(&read, message);
    }
    let header = &read.header;
    let (name, rank) = if header.major() >= 2 {
        (facts.name_v2(header), facts.rank_v2(header))
    } else {
        facts.name_v1(header, message.from)
    };
    let mut fields = header_fields(header);
    fields.extend(facts.fields(message));
    Some(Description {
        name,
        from: message.from,
        rank,
        refusal: facts.refusal,
        round: facts.round,
        resumes: false,
        fields,
        time: message.time,
        frame: message.frame,
    })
}

fn header_fields(header: &Header) -> Vec<Field> {
    let v2 = header.major() >= 2;
    let exchange = if v2 {
        v2::ExchangeType(header.exchange_type).to_string()
    } else {
        v1::ExchangeType(header.exchange_type).to_string()
    };
    let mut fields = vec![
        same("exchange", exchange),
        same("version", format!("{}.{}", header.major(), header.minor())),
        same("flags", format!("{:#04x}", header.flags.0)),
        varies("initiator_spi", header.initiator_spi.to_string()),
        varies("responder_spi", header.responder_spi.to_string()),
    ];
    if v2 || header.message_id == 0 {
        fields.push(same("message_id", header.message_id.to_string()));
    } else {
        fields.push(varies("message_id", header.message_id.to_string()));
    }
    fields
}

/// What stands in the payloads.
#[derive(Default)]
struct Facts {
    payloads: Vec<String>,
    proposals: Vec<String>,
    group: Option<String>,
    notifies: Vec<String>,
    vendors: Vec<String>,
    identity: Option<String>,
    authorities: Vec<String>,
    certificates: Vec<String>,
    key: Option<String>,
    nonce: Option<String>,
    cookie: Option<String>,
    nat: Vec<&'static str>,
    hidden: Option<usize>,
    refusal: Option<String>,
    fault: Option<ParseError>,
    round: Round,
    has_sa: bool,
    has_key: bool,
}

impl Facts {
    fn read_v2(&mut self, read: &ike::Message<'_>, message: &Message) {
        for raw in read.payloads() {
            let parsed = raw.and_then(|raw| Ok((raw, v2::Payload::parse(&raw)?)));
            match parsed {
                Ok((raw, payload)) => {
                    let kind = v2::PayloadType(raw.payload_type);
                    self.payloads.push(short_v2(kind));
                    self.payload_v2(&payload, &read.header, message);
                }
                Err(error) => {
                    self.fault = Some(error);
                    break;
                }
            }
        }
        if self.cookie.is_some() && self.round == Round::No {
            self.round = Round::Cookie;
        }
    }

    fn payload_v2(&mut self, payload: &v2::Payload<'_>, header: &Header, message: &Message) {
        match payload {
            v2::Payload::Sa(sa) => {
                self.has_sa = true;
                for proposal in sa.proposals().flatten() {
                    let transforms: Vec<String> = proposal
                        .transforms()
                        .flatten()
                        .map(|transform| transform.to_string())
                        .collect();
                    self.proposals.push(transforms.join("/"));
                }
            }
            v2::Payload::Ke(share) => {
                self.has_key = true;
                self.group = Some(short_group(share.method));
                self.key = Some(short(&share.data));
            }
            v2::Payload::Nonce(nonce) => self.nonce = Some(short(nonce)),
            v2::Payload::VendorId(id) => self.vendors.push(vendor_name(id, header, message)),
            v2::Payload::CertReq(request) => {
                self.authorities.push(request.encoding.to_string());
                for authority in request.authorities() {
                    self.authorities.push(Octets(authority).to_string());
                }
            }
            v2::Payload::Notify(notify) => self.notify_v2(notify, header, message),
            v2::Payload::Encrypted(sealed) => self.hidden = Some(sealed.octets.len()),
            v2::Payload::EncryptedFragment(sealed) => self.hidden = Some(sealed.octets.len()),
            _ => {}
        }
    }

    fn notify_v2(&mut self, notify: &v2::Notify<'_>, header: &Header, message: &Message) {
        let kind = notify.notify_type;
        let data = match notify.content() {
            Ok(NotifyData::NatDetection(hash)) => {
                let at = if kind == NotifyType::NAT_DETECTION_SOURCE_IP {
                    message.source
                } else {
                    message.destination
                };
                let (i, r) = (header.initiator_spi, header.responder_spi);
                let right = detection(v1::Hash::SHA, i, r, at).as_deref() == Some(hash.as_slice());
                self.nat.push(if right { "as seen" } else { "translated" });
                String::new()
            }
            Ok(NotifyData::Cookie(cookie)) => {
                self.cookie = Some(short(&cookie));
                String::new()
            }
            Ok(NotifyData::None) => String::new(),
            Ok(NotifyData::KeyExchange(group)) => {
                if kind == NotifyType::INVALID_KE_PAYLOAD {
                    self.round = Round::Retry;
                }
                format!("({})", short_group(group))
            }
            Ok(NotifyData::HashAlgorithms(list)) => {
                let names: Vec<_> = list.iter().map(|hash| hash.to_string()).collect();
                format!("({})", names.join(","))
            }
            Ok(NotifyData::Octets(octets)) if octets.is_empty() => String::new(),
            Ok(NotifyData::Octets(octets)) => format!("({})", short(&octets)),
            Ok(other) => format!("({other:?})"),
            Err(error) => format!("(unreadable: {error})"),
        };
        let text = format!("{kind}{data}");
        if kind.is_error() {
            self.refusal = Some(text.clone());
        }
        self.notifies.push(text);
    }

    fn name_v2(&self, header: &Header) -> String {
        let way = if header.flags.is_response() {
            "response"
        } else {
            "request"
        };
        let exchange = v2::ExchangeType(header.exchange_type);
        let suffix = match self.round {
            Round::Cookie => " (COOKIE)",
            Round::Retry => " (INVALID_KE_PAYLOAD)",
            Round::No => "",
        };
        format!("{exchange} {way}{suffix}")
    }

    fn rank_v2(&self, header: &Header) -> u8 {
        u8::from(header.flags.is_response() && self.has_sa && self.has_key) * 2
    }

    fn read_v1(&mut self, read: &ike::Message<'_>, message: &Message) {
        let exchange = v1::ExchangeType(read.header.exchange_type);
        if read.header.flags.is_encrypted() {
            self.hidden = Some(read.body.len());
        }
        for raw in read.payloads() {
            let parsed = raw.and_then(|raw| Ok((raw, v1::Payload::parse(&raw, exchange)?)));
            match parsed {
                Ok((raw, payload)) => {
                    let kind = v1::PayloadType(raw.payload_type);
                    self.payloads.push(short_v1(kind));
                    self.payload_v1(&payload, &read.header, message);
                }
                Err(error) => {
                    self.fault = Some(error);
                    break;
                }
            }
        }
    }

    fn payload_v1(&mut self, payload: &v1::Payload<'_>, header: &Header, message: &Message) {
        match payload {
            v1::Payload::Sa(sa) => {
                self.has_sa = true;
                for transform in sa
                    .proposals()
                    .flatten()
                    .flat_map(|proposal| proposal.transforms().flatten())
                {
                    self.proposals.push(transform.ike_suite().to_string());
                }
            }
            v1::Payload::Ke(data) => {
                self.has_key = true;
                self.group = Some(format!("{} octets", data.len()));
                self.key = Some(short(data));
            }
            v1::Payload::Nonce(nonce) => self.nonce = Some(short(nonce)),
            v1::Payload::VendorId(id) => self.vendors.push(vendor_name(id, header, message)),
            v1::Payload::Id(id) => self.identity = Some(id.identity().to_string()),
            v1::Payload::CertReq(request) => self.authorities.push(short(&request.authority)),
            v1::Payload::Cert(cert) => self.certificates.push(short(&cert.data)),
            v1::Payload::NatD(_) => self.nat.push("present"),
            v1::Payload::Notify(notify) => {
                let text = notify.notify_type.to_string();
                if notify.notify_type.is_error() {
                    self.refusal = Some(text.clone());
                }
                self.notifies.push(text);
            }
            _ => {}
        }
    }

    /// Name and rank of an IKEv1 message.
    fn name_v1(&self, header: &Header, from: Side) -> (String, u8) {
        let client = from == Side::Client;
        match (header.exchange_type, header.flags.is_encrypted()) {
            (2, false) => {
                let (number, rank) = match (self.has_sa, client) {
                    (true, true) => (1, 0),
                    (true, false) => (2, 2),
                    (false, true) => (3, 0),
                    (false, false) => (4, 4),
                };
                (format!("Main Mode {number}"), rank)
            }
            (4, false) if self.has_sa => {
                let (number, rank) = if client { (1, 0) } else { (2, 4) };
                (format!("Aggressive Mode {number}"), rank)
            }
            (5, false) => {
                let what = self.notifies.join(" ");
                (format!("Informational ({what})"), 0)
            }
            (other, _) => {
                let exchange = v1::ExchangeType(other);
                (format!("{exchange}, encrypted"), 0)
            }
        }
    }

    fn fields(&self, message: &Message) -> Vec<Field> {
        let mut fields = vec![same("payloads", self.payloads.join(" "))];
        fields.extend(list("proposal", &self.proposals));
        fields.extend(list("notify", &self.notifies));
        fields.extend(list("vendor_id", &self.vendors));
        fields.extend(list("certificate_request", &self.authorities));
        fields.extend(list("certificate", &self.certificates));
        let single = [
            ("key_exchange", &self.group, Rule::Same),
            ("identity", &self.identity, Rule::Same),
            ("key", &self.key, Rule::Varies),
            ("nonce", &self.nonce, Rule::Varies),
            ("cookie", &self.cookie, Rule::Varies),
        ];
        for (name, value, rule) in single {
            fields.extend(value.clone().map(|value| Field { name, value, rule }));
        }
        if !self.nat.is_empty() {
            fields.push(varies("nat_detection", self.nat.join(", ")));
        }
        if let Some(len) = self.hidden {
            fields.push(Field {
                name: "encrypted",
                value: format!("{len} octets"),
                rule: Rule::Hidden,
            });
        }
        if let Some(fault) = &self.fault {
            fields.push(same("malformed", fault.to_string()));
        }
        let size = format!("{} octets", message.octets.len());
        fields.push(if self.round == Round::Cookie {
            varies("size", size)
        } else {
            same("size", size)
        });
        fields
    }
}

fn short(octets: &[u8]) -> String {
    const SHOWN: usize = 16;
    let head = octets.get(..SHOWN).unwrap_or(octets);
    if octets.len() > SHOWN {
        format!("{}… ({} octets)", Octets(head), octets.len())
    } else {
        Octets(head).to_string()
    }
}

fn short_group(group: v2::KeyExchange) -> String {
    v2::Algorithm::KeyExchange(group).to_string()
}

/// The name of a vendor id without what changes with each connection.
fn vendor_name(octets: &[u8], header: &Header, message: &Message) -> String {
    let sender: Spi = match message.from {
        Side::Client => header.initiator_spi,
        Side::Gateway => header.responder_spi,
    };
    vendor::lookup_from(octets, sender).map_or_else(|| short(octets), |found| found.to_string())
}

fn short_v2(kind: v2::PayloadType) -> String {
    use v2::PayloadType as P;
    match kind {
        P::SA => "SA",
        P::KE => "KE",
        P::NONCE => "No",
        P::N => "N",
        P::V => "V",
        P::D => "D",
        P::CERTREQ => "CERTREQ",
        P::SK => "SK",
        P::SKF => "SKF",
        other => return other.to_string(),
    }
    .to_string()
}

fn short_v1(kind: v1::PayloadType) -> String {
    use v1::PayloadType as P;
    match kind {
        P::SA => "SA",
        P::KE => "KE",
        P::NONCE => "No",
        P::N => "N",
        P::VID => "V",
        P::D => "D",
        P::ID => "ID",
        P::HASH => "HASH",
        P::CR => "CR",
        P::NAT_D | P::NAT_D_DRAFT => "NAT-D",
        other => return other.to_string(),
    }
    .to_string()
}
