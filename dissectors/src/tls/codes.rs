//! The small code tables of TLS and DTLS. Registries: IANA "TLS Parameters" and "TLS
//! Extensions", read 2026-11. The large ones have files of their own.

use core::fmt;

/// Whether a two-octet value is one of the sixteen of RFC 8701 §2: `0x0A0A`, `0x1A1A`, … `0xFAFA`.
pub(crate) const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// A protocol version as it stands on the wire, two octets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u16);

impl Version {
    /// SSL 2.0, in its own ClientHello only.
    pub const SSL_2_0: Self = Self(0x0002);
    /// SSL 3.0 (RFC 6101).
    pub const SSL_3_0: Self = Self(0x0300);
    /// TLS 1.0 (RFC 2246).
    pub const TLS_1_0: Self = Self(0x0301);
    /// TLS 1.1 (RFC 4346).
    pub const TLS_1_1: Self = Self(0x0302);
    /// TLS 1.2 (RFC 5246); also what TLS 1.3 writes where old boxes look.
    pub const TLS_1_2: Self = Self(0x0303);
    /// TLS 1.3 (RFC 9846); only in `supported_versions`.
    pub const TLS_1_3: Self = Self(0x0304);
    /// The version before DTLS 1.0 that OpenSSL calls `DTLS1_BAD_VER`, and old AnyConnect
    /// clients and gateways speak.
    pub const DTLS_0_9: Self = Self(0x0100);
    /// DTLS 1.0 (RFC 4347).
    pub const DTLS_1_0: Self = Self(0xfeff);
    /// DTLS 1.2 (RFC 6347).
    pub const DTLS_1_2: Self = Self(0xfefd);
    /// DTLS 1.3 (RFC 9147); only in `supported_versions`.
    pub const DTLS_1_3: Self = Self(0xfefc);

    /// Every version with a name.
    pub const KNOWN: &'static [Self] = &[
        Self::SSL_2_0,
        Self::SSL_3_0,
        Self::TLS_1_0,
        Self::TLS_1_1,
        Self::TLS_1_2,
        Self::TLS_1_3,
        Self::DTLS_0_9,
        Self::DTLS_1_0,
        Self::DTLS_1_2,
        Self::DTLS_1_3,
    ];

    /// Its name, for instance `TLS 1.2`.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::SSL_2_0 => "SSL 2.0",
            Self::SSL_3_0 => "SSL 3.0",
            Self::TLS_1_0 => "TLS 1.0",
            Self::TLS_1_1 => "TLS 1.1",
            Self::TLS_1_2 => "TLS 1.2",
            Self::TLS_1_3 => "TLS 1.3",
            Self::DTLS_0_9 => "DTLS 0.9",
            Self::DTLS_1_0 => "DTLS 1.0",
            Self::DTLS_1_2 => "DTLS 1.2",
            Self::DTLS_1_3 => "DTLS 1.3",
            _ if is_grease(self.0) => "GREASE",
            _ => return None,
        })
    }

    /// Whether it is one of the values that mean nothing (RFC 8701 §3.1).
    pub const fn is_grease(self) -> bool {
        is_grease(self.0)
    }

    /// Whether it is a version of DTLS.
    pub const fn is_dtls(self) -> bool {
        matches!(
            self,
            Self::DTLS_0_9 | Self::DTLS_1_0 | Self::DTLS_1_2 | Self::DTLS_1_3
        )
    }

    /// Where it stands in the order of age: versions of TLS and DTLS that belong together
    /// have the same rank, a newer one a higher. The numbers of DTLS run backwards. Zero
    /// for what is no known version. TLS 1.3 drafts (`0x7f00`…) count as 1.3.
    pub const fn rank(self) -> u8 {
        match self {
            Self::SSL_2_0 => 1,
            Self::SSL_3_0 => 2,
            Self::TLS_1_0 | Self::DTLS_0_9 => 3,
            Self::TLS_1_1 | Self::DTLS_1_0 => 4,
            Self::TLS_1_2 | Self::DTLS_1_2 => 5,
            Self::TLS_1_3 | Self::DTLS_1_3 => 6,
            Self(draft) if draft >> 8 == 0x7f => 6,
            _ => 0,
        }
    }
}

impl fmt::Display for Version {
    /// Its name, or hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04x}", self.0),
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<u16> for Version {
    fn from(value: u16) -> Self {
        Self(value)
    }
}

wire_code! {
    /// What a record carries. Registry: IANA "TLS `ContentType`".
    pub struct ContentType(u8) {
        CHANGE_CIPHER_SPEC = 20 "change_cipher_spec",
        ALERT = 21 "alert",
        HANDSHAKE = 22 "handshake",
        APPLICATION_DATA = 23 "application_data",
        /// RFC 6520.
        HEARTBEAT = 24 "heartbeat",
        /// RFC 9146: a DTLS 1.2 record with a connection id.
        TLS12_CID = 25 "tls12_cid",
        /// RFC 9147.
        ACK = 26,
        /// Return routability check of DTLS.
        RETURN_ROUTABILITY_CHECK = 27 "return_routability_check",
    }
}

wire_code! {
    /// Handshake messages. Registry: IANA "TLS `HandshakeType`".
    pub struct HandshakeType(u8) {
        HELLO_REQUEST = 0 "hello_request",
        CLIENT_HELLO = 1 "client_hello",
        SERVER_HELLO = 2 "server_hello",
        /// DTLS 1.0 and 1.2 (RFC 6347 §4.2.1).
        HELLO_VERIFY_REQUEST = 3 "hello_verify_request",
        NEW_SESSION_TICKET = 4 "new_session_ticket",
        END_OF_EARLY_DATA = 5 "end_of_early_data",
        /// Of the drafts of TLS 1.3; the RFC writes it as a ServerHello.
        HELLO_RETRY_REQUEST = 6 "hello_retry_request",
        ENCRYPTED_EXTENSIONS = 8 "encrypted_extensions",
        /// DTLS 1.3 (RFC 9147 §9).
        REQUEST_CONNECTION_ID = 9 "request_connection_id",
        /// DTLS 1.3 (RFC 9147 §9).
        NEW_CONNECTION_ID = 10 "new_connection_id",
        CERTIFICATE = 11 "certificate",
        SERVER_KEY_EXCHANGE = 12 "server_key_exchange",
        CERTIFICATE_REQUEST = 13 "certificate_request",
        SERVER_HELLO_DONE = 14 "server_hello_done",
        CERTIFICATE_VERIFY = 15 "certificate_verify",
        CLIENT_KEY_EXCHANGE = 16 "client_key_exchange",
        /// RFC 9261.
        CLIENT_CERTIFICATE_REQUEST = 17 "client_certificate_request",
        FINISHED = 20 "finished",
        CERTIFICATE_URL = 21 "certificate_url",
        CERTIFICATE_STATUS = 22 "certificate_status",
        SUPPLEMENTAL_DATA = 23 "supplemental_data",
        KEY_UPDATE = 24 "key_update",
        /// RFC 8879.
        COMPRESSED_CERTIFICATE = 25 "compressed_certificate",
        /// RFC 8870.
        EKT_KEY = 26 "ekt_key",
        /// Synthetic: it stands in transcripts, never on the wire.
        MESSAGE_HASH = 254 "message_hash",
    }
}

wire_code! {
    /// How grave an alert is (RFC 5246 §7.2). TLS 1.3 ignores it.
    pub struct AlertLevel(u8) {
        WARNING = 1 "warning",
        FATAL = 2 "fatal",
    }
}

wire_code! {
    /// What an alert says. Registry: IANA "TLS Alerts".
    pub struct AlertDescription(u8) {
        CLOSE_NOTIFY = 0 "close_notify",
        UNEXPECTED_MESSAGE = 10 "unexpected_message",
        BAD_RECORD_MAC = 20 "bad_record_mac",
        DECRYPTION_FAILED = 21 "decryption_failed",
        RECORD_OVERFLOW = 22 "record_overflow",
        DECOMPRESSION_FAILURE = 30 "decompression_failure",
        HANDSHAKE_FAILURE = 40 "handshake_failure",
        /// SSL 3.0 only.
        NO_CERTIFICATE = 41 "no_certificate",
        BAD_CERTIFICATE = 42 "bad_certificate",
        UNSUPPORTED_CERTIFICATE = 43 "unsupported_certificate",
        CERTIFICATE_REVOKED = 44 "certificate_revoked",
        CERTIFICATE_EXPIRED = 45 "certificate_expired",
        CERTIFICATE_UNKNOWN = 46 "certificate_unknown",
        ILLEGAL_PARAMETER = 47 "illegal_parameter",
        UNKNOWN_CA = 48 "unknown_ca",
        ACCESS_DENIED = 49 "access_denied",
        DECODE_ERROR = 50 "decode_error",
        DECRYPT_ERROR = 51 "decrypt_error",
        /// RFC 9147 §5.
        TOO_MANY_CIDS_REQUESTED = 52 "too_many_cids_requested",
        EXPORT_RESTRICTION = 60 "export_restriction",
        PROTOCOL_VERSION = 70 "protocol_version",
        INSUFFICIENT_SECURITY = 71 "insufficient_security",
        INTERNAL_ERROR = 80 "internal_error",
        /// RFC 7507.
        INAPPROPRIATE_FALLBACK = 86 "inappropriate_fallback",
        USER_CANCELED = 90 "user_canceled",
        NO_RENEGOTIATION = 100 "no_renegotiation",
        MISSING_EXTENSION = 109 "missing_extension",
        UNSUPPORTED_EXTENSION = 110 "unsupported_extension",
        CERTIFICATE_UNOBTAINABLE = 111 "certificate_unobtainable",
        UNRECOGNIZED_NAME = 112 "unrecognized_name",
        BAD_CERTIFICATE_STATUS_RESPONSE = 113 "bad_certificate_status_response",
        BAD_CERTIFICATE_HASH_VALUE = 114 "bad_certificate_hash_value",
        UNKNOWN_PSK_IDENTITY = 115 "unknown_psk_identity",
        CERTIFICATE_REQUIRED = 116 "certificate_required",
        GENERAL_ERROR = 117 "general_error",
        NO_APPLICATION_PROTOCOL = 120 "no_application_protocol",
        /// RFC 9849.
        ECH_REQUIRED = 121 "ech_required",
    }
}

wire_code! {
    /// Kinds of name in `server_name` (RFC 6066 §3).
    pub struct NameType(u8) {
        HOST_NAME = 0 "host_name",
    }
}

wire_code! {
    /// Ways of using a pre-shared key. Registry: IANA "TLS `PskKeyExchangeMode`".
    pub struct PskKeyExchangeMode(u8) {
        PSK_KE = 0 "psk_ke",
        PSK_DHE_KE = 1 "psk_dhe_ke",
    }
}

wire_code! {
    /// How a curve is described. Registry: IANA "TLS EC Curve Types".
    pub struct CurveType(u8) {
        EXPLICIT_PRIME = 1 "explicit_prime",
        EXPLICIT_CHAR2 = 2 "explicit_char2",
        NAMED_CURVE = 3 "named_curve",
    }
}

wire_code! {
    /// How a point is written. Registry: IANA "TLS EC Point Formats".
    pub struct PointFormat(u8) {
        UNCOMPRESSED = 0 "uncompressed",
        ANSIX962_COMPRESSED_PRIME = 1 "ansiX962_compressed_prime",
        ANSIX962_COMPRESSED_CHAR2 = 2 "ansiX962_compressed_char2",
    }
}

wire_code! {
    /// Kinds of certificate that a server accepts (TLS 1.2 and before). Registry: IANA "TLS
    /// `ClientCertificateType` Identifiers".
    pub struct ClientCertificateType(u8) {
        RSA_SIGN = 1 "rsa_sign",
        DSS_SIGN = 2 "dss_sign",
        RSA_FIXED_DH = 3 "rsa_fixed_dh",
        DSS_FIXED_DH = 4 "dss_fixed_dh",
        RSA_EPHEMERAL_DH = 5 "rsa_ephemeral_dh_RESERVED",
        DSS_EPHEMERAL_DH = 6 "dss_ephemeral_dh_RESERVED",
        FORTEZZA_DMS = 20 "fortezza_dms_RESERVED",
        ECDSA_SIGN = 64 "ecdsa_sign",
        RSA_FIXED_ECDH = 65 "rsa_fixed_ecdh",
        ECDSA_FIXED_ECDH = 66 "ecdsa_fixed_ecdh",
        GOST_SIGN256 = 67 "gost_sign256",
        GOST_SIGN512 = 68 "gost_sign512",
    }
}

wire_code! {
    /// Kinds of certificate status. Registry: IANA "TLS Certificate Status Types".
    pub struct CertificateStatusType(u8) {
        OCSP = 1 "ocsp",
        /// RFC 6961.
        OCSP_MULTI = 2 "ocsp_multi",
    }
}

wire_code! {
    /// Kinds of certificate. Registry: IANA "TLS Certificate Types".
    pub struct CertificateType(u8) {
        X509 = 0 "X509",
        OPENPGP = 1 "OpenPGP",
        RAW_PUBLIC_KEY = 2 "Raw Public Key",
        IEEE_1609DOT2 = 3 "1609Dot2",
    }
}

wire_code! {
    /// How certificates are compressed. Registry: IANA "TLS Certificate Compression
    /// Algorithm IDs".
    pub struct CertificateCompression(u16) {
        ZLIB = 1 "zlib",
        BROTLI = 2 "brotli",
        ZSTD = 3 "zstd",
    }
}

wire_code! {
    /// The largest fragment a client wants (RFC 6066 §4).
    pub struct MaxFragmentLength(u8) {
        OCTETS_512 = 1 "512",
        OCTETS_1024 = 2 "1024",
        OCTETS_2048 = 3 "2048",
        OCTETS_4096 = 4 "4096",
    }
}

impl MaxFragmentLength {
    /// The length it stands for, in octets.
    pub const fn octets(self) -> Option<u16> {
        match self {
            Self::OCTETS_512 => Some(512),
            Self::OCTETS_1024 => Some(1024),
            Self::OCTETS_2048 => Some(2048),
            Self::OCTETS_4096 => Some(4096),
            _ => None,
        }
    }
}

wire_code! {
    /// Extensions. Registry: IANA "TLS `ExtensionType` Values".
    pub struct ExtensionType(u16) {
        SERVER_NAME = 0 "server_name",
        MAX_FRAGMENT_LENGTH = 1 "max_fragment_length",
        CLIENT_CERTIFICATE_URL = 2 "client_certificate_url",
        TRUSTED_CA_KEYS = 3 "trusted_ca_keys",
        TRUNCATED_HMAC = 4 "truncated_hmac",
        STATUS_REQUEST = 5 "status_request",
        USER_MAPPING = 6 "user_mapping",
        CLIENT_AUTHZ = 7 "client_authz",
        SERVER_AUTHZ = 8 "server_authz",
        CERT_TYPE = 9 "cert_type",
        SUPPORTED_GROUPS = 10 "supported_groups",
        EC_POINT_FORMATS = 11 "ec_point_formats",
        SRP = 12 "srp",
        SIGNATURE_ALGORITHMS = 13 "signature_algorithms",
        USE_SRTP = 14 "use_srtp",
        HEARTBEAT = 15 "heartbeat",
        APPLICATION_LAYER_PROTOCOL_NEGOTIATION = 16 "application_layer_protocol_negotiation",
        STATUS_REQUEST_V2 = 17 "status_request_v2",
        SIGNED_CERTIFICATE_TIMESTAMP = 18 "signed_certificate_timestamp",
        CLIENT_CERTIFICATE_TYPE = 19 "client_certificate_type",
        SERVER_CERTIFICATE_TYPE = 20 "server_certificate_type",
        PADDING = 21 "padding",
        ENCRYPT_THEN_MAC = 22 "encrypt_then_mac",
        EXTENDED_MASTER_SECRET = 23 "extended_master_secret",
        TOKEN_BINDING = 24 "token_binding",
        CACHED_INFO = 25 "cached_info",
        TLS_LTS = 26 "tls_lts",
        COMPRESS_CERTIFICATE = 27 "compress_certificate",
        RECORD_SIZE_LIMIT = 28 "record_size_limit",
        PWD_PROTECT = 29 "pwd_protect",
        PWD_CLEAR = 30 "pwd_clear",
        PASSWORD_SALT = 31 "password_salt",
        TICKET_PINNING = 32 "ticket_pinning",
        TLS_CERT_WITH_EXTERN_PSK = 33 "tls_cert_with_extern_psk",
        DELEGATED_CREDENTIAL = 34 "delegated_credential",
        SESSION_TICKET = 35 "session_ticket",
        TLMSP = 36,
        TLMSP_PROXYING = 37 "TLMSP_proxying",
        TLMSP_DELEGATE = 38 "TLMSP_delegate",
        SUPPORTED_EKT_CIPHERS = 39 "supported_ekt_ciphers",
        PRE_SHARED_KEY = 41 "pre_shared_key",
        EARLY_DATA = 42 "early_data",
        SUPPORTED_VERSIONS = 43 "supported_versions",
        COOKIE = 44 "cookie",
        PSK_KEY_EXCHANGE_MODES = 45 "psk_key_exchange_modes",
        CERTIFICATE_AUTHORITIES = 47 "certificate_authorities",
        OID_FILTERS = 48 "oid_filters",
        POST_HANDSHAKE_AUTH = 49 "post_handshake_auth",
        SIGNATURE_ALGORITHMS_CERT = 50 "signature_algorithms_cert",
        KEY_SHARE = 51 "key_share",
        TRANSPARENCY_INFO = 52 "transparency_info",
        /// The draft's number; RFC 9146 has 54.
        CONNECTION_ID_DEPRECATED = 53 "connection_id (deprecated)",
        CONNECTION_ID = 54 "connection_id",
        EXTERNAL_ID_HASH = 55 "external_id_hash",
        EXTERNAL_SESSION_ID = 56 "external_session_id",
        QUIC_TRANSPORT_PARAMETERS = 57 "quic_transport_parameters",
        TICKET_REQUEST = 58 "ticket_request",
        DNSSEC_CHAIN = 59 "dnssec_chain",
        SEQUENCE_NUMBER_ENCRYPTION_ALGORITHMS = 60 "sequence_number_encryption_algorithms",
        RRC = 61 "rrc",
        TLS_FLAGS = 62 "tls_flags",
        GREASE_0A0A = 2570 "GREASE",
        GREASE_1A1A = 6682 "GREASE",
        GREASE_2A2A = 10794 "GREASE",
        /// Not registered; Next Protocol Negotiation, before ALPN.
        NEXT_PROTOCOL_NEGOTIATION = 13172 "next_protocol_negotiation",
        GREASE_3A3A = 14906 "GREASE",
        /// Not registered; ALPS of the Chromium family, old number.
        APPLICATION_SETTINGS_OLD = 17513 "application_settings_old",
        /// Not registered; ALPS of the Chromium family.
        APPLICATION_SETTINGS = 17613 "application_settings",
        GREASE_4A4A = 19018 "GREASE",
        GREASE_5A5A = 23130 "GREASE",
        GREASE_6A6A = 27242 "GREASE",
        /// Not registered.
        CHANNEL_ID = 30032 "channel_id",
        GREASE_7A7A = 31354 "GREASE",
        GREASE_8A8A = 35466 "GREASE",
        GREASE_9A9A = 39578 "GREASE",
        GREASE_AAAA = 43690 "GREASE",
        GREASE_BABA = 47802 "GREASE",
        /// Draft.
        TRUST_ANCHORS = 51764 "trust_anchors",
        GREASE_CACA = 51914 "GREASE",
        GREASE_DADA = 56026 "GREASE",
        GREASE_EAEA = 60138 "GREASE",
        GREASE_FAFA = 64250 "GREASE",
        ECH_OUTER_EXTENSIONS = 64768 "ech_outer_extensions",
        ENCRYPTED_CLIENT_HELLO = 65037 "encrypted_client_hello",
        RENEGOTIATION_INFO = 65281 "renegotiation_info",
        /// Not registered; the draft before `encrypted_client_hello`.
        ENCRYPTED_SERVER_NAME = 65486 "encrypted_server_name",
    }
}

impl ExtensionType {
    /// Whether it is one of the values that mean nothing (RFC 8701 §3.1).
    pub const fn is_grease(self) -> bool {
        is_grease(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{CipherSuite, NamedGroup, SignatureScheme};

    #[test]
    fn grease_is_named_in_every_table_that_has_it() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|v| is_grease(*v)).collect();
        assert_eq!(all.len(), 16);
        assert_eq!((all[0], all[15]), (0x0a0a, 0xfafa));
        for value in all {
            assert_eq!(CipherSuite(value).name(), Some("GREASE"));
            assert_eq!(NamedGroup(value).name(), Some("GREASE"));
            assert_eq!(ExtensionType(value).name(), Some("GREASE"));
            assert_eq!(Version(value).name(), Some("GREASE"));
        }
        for known in CipherSuite::KNOWN {
            assert_eq!(known.is_grease(), known.name() == Some("GREASE"));
        }
        for known in SignatureScheme::KNOWN {
            assert!(!known.is_grease());
        }
    }

    #[test]
    fn tables_are_in_order_and_free_of_doubles() {
        assert!(CipherSuite::KNOWN.is_sorted());
        assert!(NamedGroup::KNOWN.is_sorted());
        assert!(SignatureScheme::KNOWN.is_sorted());
        assert!(ExtensionType::KNOWN.is_sorted());
        assert!(AlertDescription::KNOWN.is_sorted());
        assert!(HandshakeType::KNOWN.is_sorted());
        let mut names: Vec<_> = CipherSuite::KNOWN
            .iter()
            .filter_map(|suite| suite.name())
            .filter(|name| *name != "GREASE")
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn ranks_follow_age_in_both_families() {
        assert!(Version::TLS_1_3.rank() > Version::TLS_1_2.rank());
        assert_eq!(Version::TLS_1_2.rank(), Version::DTLS_1_2.rank());
        assert!(Version::DTLS_1_0.rank() > Version::DTLS_0_9.rank());
        assert_eq!(Version(0x7f1c).rank(), Version::TLS_1_3.rank());
        assert_eq!(Version(0x0a0a).rank(), 0);
        assert!(
            Version::KNOWN
                .iter()
                .all(|v| v.rank() > 0 && v.name().is_some())
        );
        assert_eq!(Version(0x7f1c).to_string(), "0x7f1c");
    }
}
