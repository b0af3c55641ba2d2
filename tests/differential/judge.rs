//! What is compared, protocol by protocol: fields on which tshark is a fair judge.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::table::{Row, Table};

/// One value that is not the same.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) protocol: &'static str,
    pub(crate) frame: u64,
    pub(crate) field: &'static str,
    tshark: String,
    ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: &str| text.chars().take(240).collect::<String>();
        write!(
            f,
            "frame {} {} {}: tshark {} we {}",
            self.frame,
            self.protocol,
            self.field,
            cut(&self.tshark),
            cut(&self.ours)
        )
    }
}

/// A protocol and how its rows are compared.
pub(crate) struct Protocol {
    pub(crate) name: &'static str,
    judge: fn(&Row<'_>, &Frame<'_>, &mut Verdicts),
}

pub(crate) const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "ike",
        judge: ike,
    },
    Protocol {
        name: "esp",
        judge: esp,
    },
    Protocol {
        name: "tls",
        judge: tls,
    },
    Protocol {
        name: "dtls",
        judge: dtls,
    },
    Protocol {
        name: "l2tp",
        judge: l2tp,
    },
    Protocol {
        name: "ppp",
        judge: ppp,
    },
];

impl Protocol {
    /// How many values were compared, and which differ.
    pub(crate) fn compare(
        &self,
        table: &Table,
        frames: &BTreeMap<u64, Value>,
    ) -> (u64, Vec<Difference>) {
        let mut verdicts = Verdicts {
            protocol: self.name,
            frame: 0,
            compared: 0,
            differences: Vec::new(),
        };
        for row in table.rows() {
            verdicts.frame = row.frame();
            let frame = Frame(frames.get(&verdicts.frame).unwrap_or(&Value::Null));
            (self.judge)(&row, &frame, &mut verdicts);
        }
        (verdicts.compared, verdicts.differences)
    }
}

/// What the comparison of a table found.
struct Verdicts {
    protocol: &'static str,
    frame: u64,
    compared: u64,
    differences: Vec<Difference>,
}

impl Verdicts {
    /// Compares one value.
    fn same<T: PartialEq + fmt::Debug>(&mut self, field: &'static str, tshark: &T, ours: &T) {
        self.compared += 1;
        if tshark != ours {
            self.differences.push(Difference {
                protocol: self.protocol,
                frame: self.frame,
                field,
                tshark: format!("{tshark:?}"),
                ours: format!("{ours:?}"),
            });
        }
    }

    /// Compares lists, where tshark has one.
    fn if_any<T: PartialEq + fmt::Debug>(
        &mut self,
        field: &'static str,
        tshark: &Vec<T>,
        ours: &Vec<T>,
    ) {
        if !tshark.is_empty() {
            self.same(field, tshark, ours);
        }
    }
}

/// A decoded frame.
struct Frame<'a>(&'a Value);

impl Frame<'_> {
    /// Its layers of a name.
    fn layers(&self, name: &str) -> Vec<&Value> {
        self.0["layers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|layer| layer["layer"] == name)
            .collect()
    }
}

/// Every item of a list that each of `parents` has.
fn under<'a>(parents: &[&'a Value], list: &str) -> Vec<&'a Value> {
    parents
        .iter()
        .flat_map(|parent| parent[list].as_array().into_iter().flatten())
        .collect()
}

/// The numbers of a field, where it is there.
fn numbers(items: &[&Value], field: &str) -> Vec<u64> {
    items
        .iter()
        .filter_map(|item| item[field].as_u64())
        .collect()
}

/// The texts of a field, where it is there.
fn texts(items: &[&Value], field: &str) -> Vec<String> {
    items
        .iter()
        .filter_map(|item| item[field].as_str().map(String::from))
        .collect()
}

fn ike(row: &Row<'_>, frame: &Frame<'_>, verdicts: &mut Verdicts) {
    let keepalives = row.cell("udpencap.nat_keepalive").len();
    if keepalives > 0 {
        verdicts.same("keepalive", &1, &frame.layers("nat-keepalive").len());
    }
    let layers = frame.layers("ike");
    let spis = row.hex("isakmp.ispi");
    if spis.is_empty() {
        return;
    }
    let ids = row.numbers("isakmp.messageid");
    let ids: Vec<u64> = ids.iter().map(|id| id & 0xffff_ffff).collect();
    let theirs = (
        spis,
        row.hex("isakmp.rspi"),
        row.numbers("isakmp.exchangetype"),
        row.numbers("isakmp.flags"),
        ids,
        row.numbers("isakmp.length"),
    );
    let ours = (
        texts(&layers, "initiator_spi"),
        texts(&layers, "responder_spi"),
        numbers(&layers, "exchange_type"),
        numbers(&layers, "flags"),
        numbers(&layers, "message_id"),
        numbers(&layers, "length"),
    );
    verdicts.same("header", &theirs, &ours);
    if !row.is_malformed() {
        ike_payloads(row, &layers, verdicts);
    }
}

fn ike_payloads(row: &Row<'_>, layers: &[&Value], verdicts: &mut Verdicts) {
    let payloads = under(layers, "payloads");
    // tshark lists proposals (2) and transforms (3) among the payloads.
    let mut types = row.numbers("isakmp.typepayload");
    types.retain(|number| !matches!(number, 2 | 3));
    verdicts.same("payloads", &types, &numbers(&payloads, "type"));
    let sorted = |mut list: Vec<u64>| {
        list.sort_unstable();
        list
    };
    verdicts.same(
        "notify",
        &sorted(row.numbers("isakmp.notify.msgtype")),
        &sorted(numbers(&payloads, "notify_type")),
    );
    let version_2: Vec<&Value> = layers
        .iter()
        .copied()
        .filter(|layer| {
            layer["version"]
                .as_str()
                .is_some_and(|v| v.starts_with('2'))
        })
        .collect();
    let proposals = under(&payloads, "proposals");
    let transforms = under(&proposals, "transforms");
    let attributes = under(&transforms, "attributes");
    verdicts.if_any(
        "proposals",
        &row.numbers("isakmp.prop.number"),
        &numbers(&proposals, "number"),
    );
    if version_2.is_empty() {
        ike_1(row, &transforms, &attributes, verdicts);
    } else {
        ike_2(row, &payloads, &transforms, &attributes, verdicts);
    }
    let vendors: Vec<String> = texts(&payloads, "vendor_id");
    verdicts.if_any("vendor-ids", &row.hex("isakmp.vid_bytes"), &vendors);
    verdicts.if_any(
        "nonce",
        &row.hex("isakmp.nonce"),
        &texts(&payloads, "nonce"),
    );
    verdicts.if_any(
        "id-type",
        &row.numbers("isakmp.id.type"),
        &numbers(&payloads, "id_type"),
    );
    verdicts.if_any(
        "id-address",
        &row.values("isakmp.id.data.ipv4_addr"),
        &texts(&payloads, "identity"),
    );
    verdicts.if_any(
        "certreq",
        &row.numbers("isakmp.certreq.type"),
        &numbers(&payloads, "encoding"),
    );
}

fn ike_1(row: &Row<'_>, transforms: &[&Value], attributes: &[&Value], verdicts: &mut Verdicts) {
    verdicts.if_any(
        "transform-numbers",
        &row.numbers("isakmp.trans.number"),
        &numbers(transforms, "number"),
    );
    verdicts.if_any(
        "transforms",
        &row.numbers("isakmp.trans.id"),
        &numbers(transforms, "id"),
    );
    verdicts.if_any(
        "attributes",
        &row.numbers("isakmp.ike.attr.type"),
        &numbers(attributes, "type"),
    );
    for (field, column, number) in [
        ("encryption", "isakmp.ike.attr.encryption_algorithm", 1),
        ("hash", "isakmp.ike.attr.hash_algorithm", 2),
        ("authentication", "isakmp.ike.attr.authentication_method", 3),
        ("group", "isakmp.ike.attr.group_description", 4),
        ("life-type", "isakmp.ike.attr.life_type", 11),
        ("life-duration", "isakmp.ike.attr.life_duration", 12),
        ("key-length", "isakmp.ike.attr.key_length", 14),
    ] {
        let ours: Vec<u64> = attributes
            .iter()
            .filter(|a| a["type"] == number)
            .filter_map(|a| a["value"].as_u64())
            .collect();
        verdicts.if_any(field, &row.numbers(column), &ours);
    }
}

fn ike_2(
    row: &Row<'_>,
    payloads: &[&Value],
    transforms: &[&Value],
    attributes: &[&Value],
    verdicts: &mut Verdicts,
) {
    verdicts.same(
        "transforms",
        &row.numbers("isakmp.tf.type"),
        &numbers(transforms, "type"),
    );
    for (column, number) in [
        ("isakmp.tf.id.encr", 1),
        ("isakmp.tf.id.prf", 2),
        ("isakmp.tf.id.integ", 3),
        ("isakmp.tf.id.dh", 4),
        ("isakmp.tf.id.esn", 5),
    ] {
        let ours: Vec<u64> = transforms
            .iter()
            .filter(|t| t["type"] == number)
            .filter_map(|t| t["id"].as_u64())
            .collect();
        verdicts.if_any("transform-ids", &row.numbers(column), &ours);
    }
    verdicts.if_any(
        "attributes",
        &row.numbers("isakmp.ike2.attr.type"),
        &numbers(attributes, "type"),
    );
    verdicts.if_any(
        "key-length",
        &row.numbers("isakmp.ike2.attr.key_length"),
        &numbers(attributes, "value"),
    );
    let shares: Vec<&Value> = payloads
        .iter()
        .copied()
        .filter(|payload| payload["type"] == 34)
        .collect();
    verdicts.if_any(
        "group",
        &row.numbers("isakmp.key_exchange.dh_group"),
        &numbers(&shares, "group"),
    );
    let fragments: Vec<&Value> = payloads
        .iter()
        .copied()
        .filter(|payload| payload["type"] == 53)
        .collect();
    verdicts.if_any(
        "fragment-number",
        &row.numbers("isakmp.frag.number"),
        &numbers(&fragments, "fragment_number"),
    );
    verdicts.if_any(
        "fragments-total",
        &row.numbers("isakmp.frag.total"),
        &numbers(&fragments, "total_fragments"),
    );
}

fn esp(row: &Row<'_>, frame: &Frame<'_>, verdicts: &mut Verdicts) {
    let pair = |layers: &[&Value]| -> Vec<(u64, u64)> {
        layers
            .iter()
            .map(|layer| {
                let spi = layer["spi"].as_str().unwrap_or_default();
                (
                    u64::from_str_radix(spi, 16).unwrap_or_default(),
                    layer["sequence"].as_u64().unwrap_or_default(),
                )
            })
            .collect()
    };
    let zipped = |spi: &str, sequence: &str| -> Vec<(u64, u64)> {
        row.numbers(spi)
            .into_iter()
            .zip(row.numbers(sequence))
            .collect()
    };
    verdicts.if_any(
        "esp",
        &zipped("esp.spi", "esp.sequence"),
        &pair(&frame.layers("esp")),
    );
    verdicts.if_any(
        "ah",
        &zipped("ah.spi", "ah.sequence"),
        &pair(&frame.layers("ah")),
    );
}

fn tls(row: &Row<'_>, frame: &Frame<'_>, verdicts: &mut Verdicts) {
    // Handshake messages inside QUIC are no TLS records.
    if row.is_malformed() || row.cell("frame.protocols").contains("quic") {
        return;
    }
    let layers = frame.layers("tls");
    let handshakes = under(&layers, "handshakes");
    verdicts.same(
        "handshakes",
        &row.numbers("tls.handshake.type"),
        &numbers(&handshakes, "type"),
    );
    hello("tls", row, &layers, &handshakes, verdicts);
}

fn dtls(row: &Row<'_>, frame: &Frame<'_>, verdicts: &mut Verdicts) {
    if row.is_malformed() || row.cell("dtls.record.content_type").is_empty() {
        return;
    }
    let layers = frame.layers("dtls");
    let records = under(&layers, "records");
    verdicts.same(
        "records",
        &(
            row.numbers("dtls.record.content_type"),
            row.numbers("dtls.record.epoch"),
            row.numbers("dtls.record.sequence_number"),
            row.numbers("dtls.record.length"),
        ),
        &(
            numbers(&records, "content_type"),
            numbers(&records, "epoch"),
            numbers(&records, "sequence"),
            numbers(&records, "length"),
        ),
    );
    let handshakes = under(&layers, "handshakes");
    let theirs = row.numbers("dtls.handshake.type");
    let ours = numbers(&handshakes, "type");
    // tshark names a message at each of its fragments, we where it is complete.
    if !ours.iter().all(|number| theirs.contains(number)) {
        verdicts.same("handshakes", &theirs, &ours);
    }
    if theirs.len() == ours.len() {
        hello("dtls", row, &layers, &handshakes, verdicts);
    }
}

/// What the hellos and alerts of TLS and DTLS have in common.
fn hello(
    prefix: &str,
    row: &Row<'_>,
    layers: &[&Value],
    handshakes: &[&Value],
    verdicts: &mut Verdicts,
) {
    let column = |name: &str| format!("{prefix}.{name}");
    let alerts = under(layers, "alerts");
    verdicts.same(
        "alerts",
        &row.numbers(&column("alert_message.desc")),
        &numbers(&alerts, "description"),
    );
    let lists = |one: &str, many: &str| -> Vec<u64> {
        handshakes
            .iter()
            .flat_map(|h| match h[many].as_array() {
                Some(list) => list.iter().filter_map(Value::as_u64).collect(),
                None => h[one].as_u64().into_iter().collect::<Vec<u64>>(),
            })
            .collect()
    };
    verdicts.same(
        "cipher-suites",
        &row.numbers(&column("handshake.ciphersuite")),
        &lists("cipher_suite", "cipher_suites"),
    );
    let hellos: Vec<&Value> = handshakes
        .iter()
        .copied()
        .filter(|h| matches!(h["type"].as_u64(), Some(1 | 2)))
        .collect();
    if hellos.len() != handshakes.len() {
        return;
    }
    let extensions: Vec<u64> = hellos
        .iter()
        .flat_map(|h| h["extensions"].as_array().into_iter().flatten())
        .filter_map(|e| e.as_u64().or_else(|| e["type"].as_u64()))
        .collect();
    verdicts.same(
        "extensions",
        &row.numbers(&column("handshake.extension.type")),
        &extensions,
    );
    verdicts.same(
        "sni",
        &row.values(&column("handshake.extensions_server_name")),
        &texts(&hellos, "sni"),
    );
    let client: Vec<&Value> = hellos.iter().copied().filter(|h| h["type"] == 1).collect();
    if client.len() == hellos.len() {
        let groups = client
            .iter()
            .flat_map(|h| h["groups"].as_array().into_iter().flatten())
            .filter_map(Value::as_u64)
            .collect();
        verdicts.same(
            "groups",
            &row.numbers(&column("handshake.extensions_supported_group")),
            &groups,
        );
        verdicts.if_any(
            "ja3",
            &row.values(&column("handshake.ja3")),
            &texts(&client, "ja3"),
        );
    }
}

fn l2tp(row: &Row<'_>, frame: &Frame<'_>, verdicts: &mut Verdicts) {
    if row.is_malformed() {
        return;
    }
    let layers = frame.layers("l2tp");
    let either = |v2: &str, v3: &str| {
        let mut all = row.numbers(v2);
        all.extend(row.numbers(v3));
        all
    };
    verdicts.same(
        "header",
        &(
            row.numbers("l2tp.version"),
            either("l2tp.tunnel", "l2tp.ccid"),
            either("l2tp.session", "l2tp.sid"),
            row.numbers("l2tp.Ns"),
            row.numbers("l2tp.Nr"),
        ),
        &(
            numbers(&layers, "version"),
            numbers(&layers, "tunnel_id"),
            numbers(&layers, "session_id"),
            numbers(&layers, "ns"),
            numbers(&layers, "nr"),
        ),
    );
    verdicts.same(
        "message-type",
        &row.numbers("l2tp.avp.message_type"),
        &numbers(&layers, "message_type"),
    );
    let avps = under(&layers, "avps");
    let flags = |field: &str| -> Vec<u64> {
        avps.iter()
            .filter_map(|avp| avp[field].as_bool().map(u64::from))
            .collect()
    };
    verdicts.same(
        "avps",
        &(
            row.numbers("l2tp.avp.type"),
            row.numbers("l2tp.avp.vendor_id"),
            row.numbers("l2tp.avp.length"),
            row.numbers("l2tp.avp.mandatory"),
            row.numbers("l2tp.avp.hidden"),
        ),
        &(
            numbers(&avps, "type"),
            numbers(&avps, "vendor"),
            numbers(&avps, "length"),
            flags("mandatory"),
            flags("hidden"),
        ),
    );
    let of_type = |number: u64| -> Vec<&Value> {
        avps.iter()
            .copied()
            .filter(|avp| avp["type"] == number && avp["vendor"] == 0)
            .collect()
    };
    for (field, column, number) in [
        ("assigned-tunnel", "l2tp.avp.assigned_tunnel_id", 9),
        ("assigned-session", "l2tp.avp.assigned_session_id", 14),
        ("window", "l2tp.avp.receive_window_size", 10),
    ] {
        verdicts.if_any(
            field,
            &row.numbers(column),
            &numbers(&of_type(number), "value"),
        );
    }
    for (field, column, number) in [
        ("host-name", "l2tp.avp.host_name", 7),
        ("vendor-name", "l2tp.avp.vendor_name", 8),
    ] {
        let ours: String = texts(&of_type(number), "value").concat();
        if !row.cell(column).is_empty() {
            verdicts.same(field, &row.cell(column).to_string(), &ours);
        }
    }
}

fn ppp(row: &Row<'_>, frame: &Frame<'_>, verdicts: &mut Verdicts) {
    if row.is_malformed() {
        return;
    }
    let layers = frame.layers("ppp");
    let control: Vec<&Value> = layers
        .iter()
        .copied()
        .filter(|layer| layer["code"].is_u64())
        .collect();
    // What carries IP is peeled off, and stands in `encapsulation`.
    let mut protocols = row.numbers("ppp.protocol");
    let in_pppoe = !matches!(protocols.first(), Some(0x21 | 0x57));
    protocols.retain(|number| !matches!(number, 0x21 | 0x57));
    verdicts.if_any("protocol", &protocols, &numbers(&layers, "protocol"));
    for (field, column, ours) in [
        ("code", "ppp.code", "code"),
        ("identifier", "ppp.identifier", "identifier"),
        ("code", "chap.code", "code"),
        ("identifier", "chap.identifier", "identifier"),
        ("code", "pap.code", "code"),
        ("identifier", "pap.identifier", "identifier"),
        ("length", "ppp.length", "length"),
        ("pppoe-code", "pppoe.code", "pppoe_code"),
        ("pppoe-session", "pppoe.session_id", "pppoe_session"),
    ] {
        let pppoe = field.starts_with("pppoe");
        let items = if pppoe { &layers } else { &control };
        let mut theirs = row.numbers(column);
        // Behind its own header a reject quotes that of the packet it is about.
        theirs.truncate(1);
        if !pppoe || in_pppoe {
            verdicts.if_any(field, &theirs, &numbers(items, ours));
        }
    }
    let options = under(&layers, "options");
    verdicts.if_any(
        "lcp-options",
        &row.numbers("lcp.opt.type"),
        &numbers(&options, "type"),
    );
    verdicts.if_any(
        "ipcp-options",
        &row.numbers("ipcp.opt.type"),
        &numbers(&options, "type"),
    );
}
