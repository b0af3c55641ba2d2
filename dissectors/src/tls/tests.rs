use hex_literal::hex;
use proptest::prelude::*;

use super::extension::{Body, EncryptedClientHello};
use super::fingerprint::{Carrier, ja3_text, ja4};
use super::*;
use crate::{Octets, ParseError, Reason};

/// A ClientHello with every extension whose structure is read, laid out by field.
fn full_client_hello() -> Vec<u8> {
    let extensions: &[&[u8]] = &[
        &hex!("0a0a 0000"),
        &hex!("0000 000e 000c 00 0009 76706e2e682e636f6d"), // "vpn.h.com"
        &hex!("0001 0001 02"),
        &hex!("0005 0005 01 0000 0000"),
        &hex!("000a 0008 0006 0a0a 001d 0017"),
        &hex!("000b 0002 01 00"),
        &hex!("000d 0006 0004 0804 0403"),
        &hex!("000e 0005 0002 0001 00"),
        &hex!("000f 0001 01"),
        &hex!("0010 000e 000c 02 6832 08 687474702f312e31"),
        &hex!("0012 0000"),
        &hex!("0013 0002 01 02"),
        &hex!("0014 0002 01 00"),
        &hex!("0016 0000"),
        &hex!("0017 0000"),
        &hex!("001b 0003 02 0002"),
        &hex!("001c 0002 4001"),
        &hex!("0022 0004 0002 0403"),
        &hex!("0023 0002 aabb"),
        &hex!("002a 0000"),
        &hex!("002b 0005 04 0304 0303"),
        &hex!("002c 0003 0001 cc"),
        &hex!("002d 0002 01 01"),
        &hex!("002f 0006 0004 0002 3000"),
        &hex!("0030 0006 0004 01 55 0000"),
        &hex!("0031 0000"),
        &hex!("0032 0004 0002 0503"),
        &hex!("0033 0007 0005 001d 0001 77"),
        &hex!("0036 0003 02 c11e"),
        &hex!("003a 0002 01 02"),
        &hex!("fe0d 000c 00 0001 0001 2a 0001 ee 0001 dd"),
        &hex!("ff01 0001 00"),
        &hex!("0015 0003 000000"),
        &hex!("0029 000e 0007 0001 99 00000001 0003 02 1234"),
    ];
    let block = extensions.concat();
    let mut body = hex!(
        "0303"                                                             // version
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" // random
        "02 5e55"                                                          // session id
        "0008 2a2a 1301 c02f 00ff"                                         // suites
        "01 00"                                                            // compression
    )
    .to_vec();
    body.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
    body.extend(block);
    body
}

#[test]
fn client_hello_with_every_extension() {
    let body = full_client_hello();
    let hello = ClientHello::parse(&body).unwrap();
    assert_eq!(hello.fault, None);
    assert_eq!(hello.version, Version::TLS_1_2);
    assert_eq!(hello.newest_version(), Version::TLS_1_3);
    assert_eq!(hello.session_id, Octets(&[0x5e, 0x55]));
    assert_eq!(hello.cookie, None);
    assert_eq!(hello.cipher_suites.len(), 4);
    assert_eq!(hello.server_name(), Some(Octets(b"vpn.h.com")));
    let alpn: Vec<_> = hello.alpn().unwrap().flatten().collect();
    assert_eq!(alpn, [Octets(b"h2"), Octets(b"http/1.1")]);
    let groups: Vec<_> = hello.groups().unwrap().iter().collect();
    assert_eq!(
        groups,
        [
            NamedGroup::GREASE_0A0A,
            NamedGroup::X25519,
            NamedGroup::SECP256R1
        ]
    );
    let shares: Vec<_> = hello.key_shares().unwrap().flatten().collect();
    assert_eq!((shares.len(), shares[0].group), (1, NamedGroup::X25519));
    assert_eq!(hello.connection_id(), Some(Octets(&[0xc1, 0x1e])));
    // Every extension of a client has a structure of its own, save GREASE.
    for extension in hello.extensions {
        let extension = extension.unwrap();
        let read = extension.read(Place::ClientHello).unwrap();
        assert_eq!(
            matches!(read, Body::Other(_)),
            extension.extension_type.is_grease(),
            "{:?}",
            extension.extension_type
        );
    }
    let Some(Body::PreSharedKeys(mut identities, mut binders)) =
        hello.extension(ExtensionType::PRE_SHARED_KEY)
    else {
        panic!("no PSK")
    };
    let identity = identities.next().unwrap().unwrap();
    assert_eq!(identity.identity, Octets(&[0x99]));
    assert_eq!(binders.next().unwrap().unwrap(), Octets(&[0x12, 0x34]));
    assert!(matches!(
        hello.extension(ExtensionType::ENCRYPTED_CLIENT_HELLO),
        Some(Body::EncryptedClientHello(EncryptedClientHello::Outer {
            config_id: 0x2a,
            ..
        }))
    ));
    assert_eq!(
        ja3_text(&hello),
        "771,4865-49199-255,0-1-5-10-11-13-14-15-16-18-19-20-22-23-27-28-34-35-42-43-44-45-47-48-49-50-51-54-58-65037-65281-21-41,29-23,0"
    );
    assert!(ja4(&hello, Carrier::Tcp).starts_with("t13d0333h2_"));
    assert!(ja4(&hello, Carrier::Dtls).starts_with("d13d"));
}

#[test]
fn a_hello_cut_anywhere_keeps_what_is_there() {
    let body = full_client_hello();
    let whole = ClientHello::parse(&body).unwrap().extensions.iter().count();
    for length in 0..body.len() {
        let cut = &body[..length];
        match ClientHello::parse(cut) {
            Err(error) => {
                assert!(length < 34);
                assert!(error.offset <= length);
            }
            Ok(hello) => {
                // Without extensions the message is whole too.
                assert_eq!(hello.fault.is_none(), length == 49, "{length}");
                assert!(hello.fault.is_none_or(|error| error.offset <= length));
                let got = hello.extensions.iter().flatten().count();
                assert!(got < whole);
                if length >= 60 {
                    assert!(got >= 1);
                }
            }
        }
    }
    // In the middle of the suites the first ones are still there.
    let hello = ClientHello::parse(&body[..43]).unwrap();
    assert_eq!(
        hello.cipher_suites.iter().collect::<Vec<_>>(),
        [
            CipherSuite::GREASE_2A2A,
            CipherSuite::TLS_AES_128_GCM_SHA256
        ]
    );
    assert_eq!(
        hello.fault.unwrap(),
        ParseError::new(
            "TLS ClientHello",
            39,
            Reason::Truncated {
                needed: 8,
                available: 4
            }
        )
    );
}

#[test]
fn cookie_of_dtls() {
    let body = hex!(
        "fefd"
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        "00" "03 c00c1e" "0002 c02b" "01 00"
    );
    let hello = ClientHello::parse_dtls(&body).unwrap();
    assert_eq!(hello.cookie, Some(Octets(&[0xc0, 0x0c, 0x1e])));
    assert!(hello.extensions.is_empty());
    assert_eq!(hello.newest_version(), Version::DTLS_1_2);
}

fn server_hello(random: &[u8], extensions: &[u8]) -> Vec<u8> {
    let mut body = hex!("0303").to_vec();
    body.extend(random);
    body.extend(hex!("01 5e" "1301" "00"));
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    body
}

#[test]
fn server_hello_and_retry() {
    let body = server_hello(&[7; 32], &hex!("002b 0002 0304" "0033 0005 001d 0001 aa"));
    let hello = ServerHello::parse(&body).unwrap();
    assert!(!hello.is_hello_retry_request());
    assert_eq!(hello.selected_version(), Version::TLS_1_3);
    assert_eq!(hello.group(), Some(NamedGroup::X25519));
    assert_eq!(hello.cipher_suite, CipherSuite::TLS_AES_128_GCM_SHA256);
    assert_eq!(hello.downgraded_from(), None);

    let body = server_hello(
        &hello::HELLO_RETRY_RANDOM,
        &hex!("002b 0002 0304" "0033 0002 0018" "002c 0003 0001 cc"),
    );
    let retry = ServerHello::parse(&body).unwrap();
    assert!(retry.is_hello_retry_request());
    assert_eq!(retry.group(), Some(NamedGroup::SECP384R1));
    assert!(matches!(
        retry.extension(ExtensionType::COOKIE),
        Some(Body::Cookie(Octets(&[0xcc])))
    ));

    let mut random = [7; 32];
    random[24..].copy_from_slice(b"DOWNGRD\x01");
    let body = server_hello(&random, &[]);
    let hello = ServerHello::parse(&body).unwrap();
    assert_eq!(hello.downgraded_from(), Some(Version::TLS_1_3));
    for length in 0..body.len() {
        if let Err(error) = ServerHello::parse(&body[..length]) {
            assert!(error.offset <= length);
        }
    }
}

#[test]
fn extensions_of_servers() {
    let read =
        |ext: u16, place, octets: &'static [u8]| Body::parse(ExtensionType(ext), place, octets);
    assert!(matches!(read(0, Place::ServerHello, b""), Ok(Body::Flag)));
    assert!(matches!(read(5, Place::ServerHello, b""), Ok(Body::Flag)));
    assert!(matches!(
        read(5, Place::Certificate, &hex!("01 000002 3000")),
        Ok(Body::CertificateStatus(_, Octets(&[0x30, 0])))
    ));
    assert!(matches!(
        read(41, Place::ServerHello, &hex!("0001")),
        Ok(Body::SelectedIdentity(1))
    ));
    assert!(matches!(
        read(42, Place::NewSessionTicket, &hex!("00004000")),
        Ok(Body::MaxEarlyData(0x4000))
    ));
    assert!(matches!(
        read(20, Place::ServerHello, &hex!("02")),
        Ok(Body::CertificateTypes(Octets(&[2])))
    ));
    assert!(matches!(
        read(0xfe0d, Place::HelloRetryRequest, &[0; 8]),
        Ok(Body::EncryptedClientHello(EncryptedClientHello::Server(_)))
    ));
    let error = read(23, Place::ClientHello, b"x").unwrap_err();
    assert_eq!(error.reason, Reason::Trailing { octets: 1 });
    let error = read(10, Place::ClientHello, &hex!("0003 001d 00")).unwrap_err();
    assert_eq!(
        (error.offset, error.reason),
        (
            2,
            Reason::Invalid("odd length of a list of two-octet codes")
        )
    );
}

const TLS_1_2: Context = Context {
    is_dtls: false,
    version: Some(Version::TLS_1_2),
    suite: Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
};

const TLS_1_3: Context = Context {
    is_dtls: false,
    version: Some(Version::TLS_1_3),
    suite: Some(CipherSuite::TLS_AES_128_GCM_SHA256),
};

fn read(message_type: HandshakeType, octets: &[u8], context: Context) -> Message<'_> {
    Message::parse(message_type, octets, context).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_handshake_type_is_read() {
    let client_hello = full_client_hello();
    let server_hello = server_hello(&[7; 32], &[]);
    let samples: &[(HandshakeType, &[u8], Context)] = &[
        (HandshakeType::CLIENT_HELLO, &client_hello, TLS_1_2),
        (HandshakeType::SERVER_HELLO, &server_hello, TLS_1_2),
        (HandshakeType::HELLO_REQUEST, &[], TLS_1_2),
        (HandshakeType::SERVER_HELLO_DONE, &[], TLS_1_2),
        (HandshakeType::END_OF_EARLY_DATA, &[], TLS_1_3),
        (
            HandshakeType::HELLO_VERIFY_REQUEST,
            &hex!("feff 02 aabb"),
            TLS_1_2,
        ),
        (
            HandshakeType::NEW_SESSION_TICKET,
            &hex!("00001c20 0001 aa"),
            TLS_1_2,
        ),
        (
            HandshakeType::ENCRYPTED_EXTENSIONS,
            &hex!("0006 0010 0002 0000"),
            TLS_1_3,
        ),
        (HandshakeType::CERTIFICATE, &hex!("000000"), TLS_1_2),
        (
            HandshakeType::SERVER_KEY_EXCHANGE,
            &hex!("03 001d 01 aa 0804 0001 bb"),
            TLS_1_2,
        ),
        (
            HandshakeType::CERTIFICATE_REQUEST,
            &hex!("01 40 0002 0403 0000"),
            TLS_1_2,
        ),
        (
            HandshakeType::CERTIFICATE_VERIFY,
            &hex!("0403 0001 aa"),
            TLS_1_2,
        ),
        (HandshakeType::CLIENT_KEY_EXCHANGE, &hex!("01 aa"), TLS_1_2),
        (HandshakeType::FINISHED, &[0; 12], TLS_1_2),
        (
            HandshakeType::CERTIFICATE_STATUS,
            &hex!("01 000001 30"),
            TLS_1_2,
        ),
        (HandshakeType::KEY_UPDATE, &[1], TLS_1_3),
        (
            HandshakeType::COMPRESSED_CERTIFICATE,
            &hex!("0002 000100 000001 30"),
            TLS_1_3,
        ),
    ];
    let unread = [
        HandshakeType::HELLO_RETRY_REQUEST,
        HandshakeType::REQUEST_CONNECTION_ID,
        HandshakeType::NEW_CONNECTION_ID,
        HandshakeType::CLIENT_CERTIFICATE_REQUEST,
        HandshakeType::CERTIFICATE_URL,
        HandshakeType::SUPPLEMENTAL_DATA,
        HandshakeType::EKT_KEY,
        HandshakeType::MESSAGE_HASH,
    ];
    for known in HandshakeType::KNOWN {
        let sample = samples
            .iter()
            .find(|(message_type, ..)| message_type == known);
        match sample {
            Some((_, octets, context)) => {
                let message = read(*known, octets, *context);
                assert!(!matches!(message, Message::Other(_)), "{known}");
            }
            None => assert!(unread.contains(known), "{known}"),
        }
    }
    assert!(Message::parse(HandshakeType::SERVER_HELLO_DONE, &[1], TLS_1_2).is_err());
    assert!(matches!(
        read(HandshakeType(99), &[0; 3], TLS_1_2),
        Message::Other(_)
    ));
}

#[test]
fn tickets_and_requests_of_both_forms() {
    match read(
        HandshakeType::NEW_SESSION_TICKET,
        &hex!("00001c20 0001 aa"),
        TLS_1_2,
    ) {
        Message::NewSessionTicket(ticket) => {
            assert_eq!((ticket.lifetime_s, ticket.ticket), (7200, Octets(&[0xaa])));
        }
        other => panic!("{other:?}"),
    }
    let octets = hex!("00001c20 00000001 01 00 0001 aa 0008 002a 0004 00000100");
    match read(HandshakeType::NEW_SESSION_TICKET, &octets, TLS_1_3) {
        Message::NewSessionTicket(ticket) => {
            let extension = ticket.extensions.iter().next().unwrap().unwrap();
            assert!(matches!(
                extension.read(Place::NewSessionTicket),
                Ok(Body::MaxEarlyData(256))
            ));
        }
        other => panic!("{other:?}"),
    }
    let octets = hex!("01 40 0002 0403 0004 0002 3000");
    match read(HandshakeType::CERTIFICATE_REQUEST, &octets, TLS_1_2) {
        Message::CertificateRequest(mut request) => {
            assert_eq!(request.schemes.len(), 1);
            assert_eq!(request.authorities.next(), Some(Ok(Octets(&[0x30, 0]))));
        }
        other => panic!("{other:?}"),
    }
    let octets = hex!("00 0008 000d 0004 0002 0403");
    match read(HandshakeType::CERTIFICATE_REQUEST, &octets, TLS_1_3) {
        Message::CertificateRequest(request) => {
            assert_eq!(request.extensions.iter().flatten().count(), 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn certificates_of_both_forms() {
    let der = [0x30, 0x00];
    let body = hex!("000005 000002 3000");
    let certificates = Certificates::parse(&body).unwrap();
    assert!(!certificates.is_tls13);
    let entries: Vec<_> = certificates
        .entries()
        .map(|entry| entry.unwrap().der)
        .collect();
    assert_eq!(entries, [Octets(&der)]);
    let body = hex!("00 000007 000002 3000 0000");
    let certificates = Certificates::parse(&body).unwrap();
    assert!(certificates.is_tls13);
    assert_eq!(certificates.entries().count(), 1);
    assert!(Certificates::parse(&hex!("000000")).unwrap().is_empty());
    assert!(Certificates::parse(&hex!("00000000")).unwrap().is_empty());
    let error = Certificates::parse(&hex!("000009 000002 3000")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "TLS Certificate: 9 octets needed, 5 available at octet 3"
    );
    let broken = hex!("000008 000002 3000 0000ff");
    let entries: Vec<_> = Certificates::parse(&broken).unwrap().entries().collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].as_ref().unwrap_err().offset, 11);
}

#[test]
fn recognition() {
    let certain: &[&[u8]] = &[
        &hex!("16 0301 0200 01 0001fc 0303"),
        &hex!("16 0303 0031 02 00002d 0303 00"),
        &hex!("15 0303 0002 0228"),
        &hex!("14 0303 0001 01"),
        &hex!("17 0303 0001 aa 17 0303 0100 bb"),
    ];
    for octets in certain {
        assert_eq!(recognise(octets), Verdict::Certain, "{octets:02x?}");
    }
    let unsure: &[&[u8]] = &[
        &hex!("17 0303 0100 aabb"),
        &hex!("16 0303 0028 00000000"),
        &hex!("16 03"),
    ];
    for octets in unsure {
        assert_eq!(recognise(octets), Verdict::Unsure, "{octets:02x?}");
    }
    let not_ours: &[&[u8]] = &[
        b"",
        b"GET / HTTP/1.1",
        b"SSH-2.0-OpenSSH",
        &hex!("16 0301 ffff 01"),
        &hex!("17 0303 0001 aa ff0303 0100 bb"),
        &hex!("14 0303 0001 02"),
        &hex!("80 2e 01 0303 0006 0000"),
    ];
    for octets in not_ours {
        assert_eq!(recognise(octets), Verdict::NotOurs, "{octets:02x?}");
    }
    let ssl2 = hex!("801c 01 0301 0003 0000 0010 00002f 000102030405060708090a0b0c0d0e0f");
    assert_eq!(recognise(&ssl2), Verdict::Certain);
}

fn walk_everything(octets: &[u8]) {
    let inside = |error: ParseError| assert!(error.offset <= octets.len(), "{error}");
    let _ = recognise(octets);
    for record in Records::new(octets) {
        let _ = record.map_err(inside);
    }
    for message in Handshakes::new(octets) {
        let _ = message.map_err(inside);
    }
    for version in [
        None,
        Some(Version::TLS_1_1),
        Some(Version::TLS_1_2),
        Some(Version::TLS_1_3),
    ] {
        for suite in [
            CipherSuite::TLS_DHE_RSA_WITH_AES_128_CBC_SHA,
            CipherSuite::TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ] {
            for message_type in HandshakeType::KNOWN {
                let context = Context {
                    is_dtls: octets.len().is_multiple_of(2),
                    version,
                    suite: Some(suite),
                };
                match Message::parse(*message_type, octets, context) {
                    Ok(message) => {
                        let _ = format!("{message:?}");
                    }
                    Err(error) => inside(error),
                }
            }
        }
    }
    for extension in ExtensionType::KNOWN {
        for place in [
            Place::ClientHello,
            Place::ServerHello,
            Place::HelloRetryRequest,
            Place::EncryptedExtensions,
            Place::Certificate,
            Place::CertificateRequest,
            Place::NewSessionTicket,
        ] {
            match Body::parse(*extension, place, octets) {
                Ok(body) => {
                    let _ = format!("{body:?}");
                }
                Err(error) => inside(error),
            }
        }
    }
    if let Ok(hello) = ClientHello::parse(octets) {
        let _ = fingerprint::ja3(&hello);
        let _ = ja4(&hello, Carrier::Tcp);
    }
    let _ = Certificate::parse(octets).map_err(inside);
}

#[test]
fn what_a_certificate_says() {
    // Made with OpenSSL for this test: P-256, self-signed, three names, two purposes.
    let der = hex!(
        "30820205308201aaa003020102021402597e32bd5c7f83a09ce029b196b46850ca55d8300a06082a8648ce3d04"
        "0302302d3119301706035504030c1076706e2e6578616d706c652e746573743110300e060355040a0c07457861"
        "6d706c65301e170d3236313132323036323430355a170d3336313131393036323430355a302d31193017060355"
        "04030c1076706e2e6578616d706c652e746573743110300e060355040a0c074578616d706c653059301306072a"
        "8648ce3d020106082a8648ce3d030107034200042d7b6ef26e9d750f3c3ed23c2bb04ab6c07ef68247304e52e3"
        "1b416981d651d34c045830c87081215b2ef67f7174c37a1c038e09df2d138d3f015eeeb8f443d9a381a73081a4"
        "301d0603551d0e04160414f3470111defe4693f931d382253e63723fe59c56301f0603551d23041830168014f3"
        "470111defe4693f931d382253e63723fe59c5630350603551d11042e302c821076706e2e6578616d706c652e74"
        "65737482122a2e7261732e6578616d706c652e746573748704c0000201301d0603551d250416301406082b0601"
        "050507030106082b06010505080202300c0603551d130101ff04023000300a06082a8648ce3d04030203490030"
        "46022100c764b491b963aa98d47a22b8ef5aafb9c83a16883ee6197518d43ae0458b5fd8022100d36a39804a09"
        "c0eac29973a7156746f83997537a4e96600c37433d4d5fdfeb52"
    );
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.subject, "CN=vpn.example.test, O=Example");
    assert_eq!(certificate.issuer, certificate.subject);
    assert!(certificate.is_self_issued && !certificate.is_authority);
    assert_eq!(
        certificate.serial,
        "02597e32bd5c7f83a09ce029b196b46850ca55d8"
    );
    assert_eq!(certificate.not_before_s, 1_795_328_645);
    assert_eq!(certificate.not_after_s, 2_110_688_645);
    assert_eq!(
        (certificate.key.as_str(), certificate.key_bits),
        ("EC secp256r1", 256)
    );
    assert_eq!(certificate.signature_algorithm, "1.2.840.10045.4.3.2");
    let names: Vec<_> = certificate
        .subject_alternative_names
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        ["vpn.example.test", "*.ras.example.test", "192.0.2.1"]
    );
    let usage = certificate.extended_key_usage.unwrap();
    assert!(usage.server_auth && usage.ike_intermediate && !usage.client_auth && !usage.any);
    assert_eq!(
        certificate.sha256,
        "f82c688f789e785b9a41319f644b137fe8ba11df3bfacc7eb21629db5b67c23a"
    );
    for name in [
        "vpn.example.test",
        "VPN.Example.Test.",
        "a.ras.example.test",
        "192.0.2.1",
    ] {
        assert!(certificate.is_for(name), "{name}");
    }
    for name in [
        "example.test",
        "ras.example.test",
        "a.b.ras.example.test",
        "192.0.2.2",
        "",
    ] {
        assert!(!certificate.is_for(name), "{name}");
    }
    for length in 0..der.len() {
        assert!(Certificate::parse(&der[..length]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        walk_everything(&octets);
    }

    #[test]
    fn nothing_panics_near_a_hello(at in 0_usize..300, value in any::<u8>()) {
        let mut body = full_client_hello();
        if let Some(octet) = body.get_mut(at) {
            *octet = value;
        }
        walk_everything(&body);
    }
}
