//! The code points of IKEv1.
//!
//! Registries: IANA "ISAKMP Identifiers" (`isakmp-registry`) and "Internet Key Exchange (IKE)
//! Attributes" (`ipsec-registry`), read 2026-11; values from the private ranges are those that
//! drafts and products are known to send, each marked with where it comes from.

wire_code! {
    /// Exchange types (octet 18 of the header): RFC 2408 §3.1, RFC 2409 appendix A, and 6 from
    /// draft-ietf-ipsec-isakmp-mode-cfg.
    pub struct ExchangeType(u8) {
        BASE = 1 "Base",
        IDENTITY_PROTECTION = 2 "Identity Protection (Main Mode)",
        AUTHENTICATION_ONLY = 3 "Authentication Only",
        AGGRESSIVE = 4 "Aggressive",
        INFORMATIONAL = 5 "Informational",
        /// Mode config and XAUTH.
        TRANSACTION = 6 "Transaction (Config Mode)",
        QUICK_MODE = 32 "Quick Mode",
        NEW_GROUP_MODE = 33 "New Group Mode",
    }
}

impl ExchangeType {
    /// Whether the exchange sets up an ISAKMP SA, so that its message ID is zero.
    pub const fn is_phase_1(self) -> bool {
        matches!(
            self,
            Self::BASE | Self::IDENTITY_PROTECTION | Self::AUTHENTICATION_ONLY | Self::AGGRESSIVE
        )
    }
}

wire_code! {
    /// Payload types: RFC 2408 §3.1, RFC 3947 §3.2, RFC 6407 §5, draft-ietf-ipsec-isakmp-mode-cfg,
    /// and what drafts and Cisco put into the private range.
    pub struct PayloadType(u8) {
        NONE = 0 "None",
        SA = 1 "Security Association",
        PROPOSAL = 2 "Proposal",
        TRANSFORM = 3 "Transform",
        KE = 4 "Key Exchange",
        ID = 5 "Identification",
        CERT = 6 "Certificate",
        CR = 7 "Certificate Request",
        HASH = 8 "Hash",
        SIG = 9 "Signature",
        NONCE = 10 "Nonce",
        N = 11 "Notification",
        D = 12 "Delete",
        VID = 13 "Vendor ID",
        /// Mode config and XAUTH attributes.
        ATTRIBUTES = 14 "Attributes",
        /// Group key exchanges; NAT-D in drafts 04 to 08 of RFC 3947.
        SA_KEK = 15 "SA KEK",
        /// Group key exchanges; NAT-OA in drafts 04 to 08 of RFC 3947.
        SA_TEK = 16 "SA TEK",
        KEY_DOWNLOAD = 17 "Key Download",
        SEQUENCE_NUMBER = 18 "Sequence Number",
        PROOF_OF_POSSESSION = 19 "Proof of Possession",
        NAT_D = 20 "NAT-D",
        NAT_OA = 21 "NAT-OA",
        GROUP_ASSOCIATED_POLICY = 22 "Group Associated Policy",
        /// Drafts 00 to 03 of RFC 3947.
        NAT_D_DRAFT = 130 "NAT-D (draft)",
        /// Drafts 00 to 03 of RFC 3947.
        NAT_OA_DRAFT = 131 "NAT-OA (draft)",
        /// Cisco's fragmentation of IKE messages.
        FRAGMENT = 132 "Cisco Fragment",
    }
}

wire_code! {
    /// Domains of interpretation: RFC 2408 §3.4, RFC 2407 §4.6, RFC 6407 §5.2.
    pub struct Doi(u32) {
        ISAKMP = 0,
        IPSEC = 1,
        GDOI = 2,
    }
}

wire_code! {
    /// Protocols of a proposal, notify or delete: RFC 2407 §4.4.1.
    pub struct Protocol(u8) {
        ISAKMP = 1,
        AH = 2,
        ESP = 3,
        IPCOMP = 4,
        GIGABEAM_RADIO = 5,
    }
}

wire_code! {
    /// ISAKMP transform identifiers: RFC 2407 §4.4.2.
    pub struct IsakmpTransform(u8) {
        KEY_IKE = 1,
    }
}

wire_code! {
    /// AH transform identifiers: RFC 2407 §4.4.3.
    pub struct AhTransform(u8) {
        AH_MD5 = 2,
        AH_SHA = 3,
        AH_DES = 4,
        AH_SHA2_256 = 5,
        AH_SHA2_384 = 6,
        AH_SHA2_512 = 7,
        AH_RIPEMD = 8,
        AH_AES_XCBC_MAC = 9,
        AH_RSA = 10,
        AH_AES_128_GMAC = 11,
        AH_AES_192_GMAC = 12,
        AH_AES_256_GMAC = 13,
    }
}

wire_code! {
    /// ESP transform identifiers: RFC 2407 §4.4.4.
    pub struct EspTransform(u8) {
        ESP_DES_IV64 = 1,
        ESP_DES = 2,
        ESP_3DES = 3,
        ESP_RC5 = 4,
        ESP_IDEA = 5,
        ESP_CAST = 6,
        ESP_BLOWFISH = 7,
        ESP_3IDEA = 8,
        ESP_DES_IV32 = 9,
        ESP_RC4 = 10,
        ESP_NULL = 11,
        ESP_AES_CBC = 12,
        ESP_AES_CTR = 13,
        ESP_AES_CCM_8 = 14,
        ESP_AES_CCM_12 = 15,
        ESP_AES_CCM_16 = 16,
        ESP_AES_GCM_8 = 18,
        ESP_AES_GCM_12 = 19,
        ESP_AES_GCM_16 = 20,
        ESP_SEED_CBC = 21,
        ESP_CAMELLIA = 22,
        ESP_NULL_AUTH_AES_GMAC = 23,
        /// Private range, strongSwan and FreeS/WAN.
        ESP_SERPENT = 252,
        /// Private range, strongSwan and FreeS/WAN.
        ESP_TWOFISH = 253,
    }
}

wire_code! {
    /// IPCOMP transform identifiers: RFC 2407 §4.4.5.
    pub struct IpcompTransform(u8) {
        IPCOMP_OUI = 1,
        IPCOMP_DEFLATE = 2,
        IPCOMP_LZS = 3,
        IPCOMP_LZJH = 4,
    }
}

wire_code! {
    /// Attribute classes of a phase-1 transform: RFC 2409 appendix A.
    pub struct IkeAttribute(u16) {
        ENCRYPTION_ALGORITHM = 1,
        HASH_ALGORITHM = 2,
        AUTHENTICATION_METHOD = 3,
        GROUP_DESCRIPTION = 4,
        GROUP_TYPE = 5,
        GROUP_PRIME = 6,
        GROUP_GENERATOR_ONE = 7,
        GROUP_GENERATOR_TWO = 8,
        GROUP_CURVE_A = 9,
        GROUP_CURVE_B = 10,
        LIFE_TYPE = 11,
        LIFE_DURATION = 12,
        PRF = 13,
        KEY_LENGTH = 14,
        FIELD_SIZE = 15,
        GROUP_ORDER = 16,
        /// Private range; draft-ietf-ipsec-isakmp-gss-auth, Microsoft: the GSS endpoint's name.
        GSS_IDENTITY_NAME = 16384,
    }
}

wire_code! {
    /// Encryption algorithms of phase 1: RFC 2409 appendix A.
    pub struct Encryption(u16) {
        DES_CBC = 1,
        IDEA_CBC = 2,
        BLOWFISH_CBC = 3,
        RC5_R16_B64_CBC = 4,
        THREE_DES_CBC = 5 "3DES_CBC",
        CAST_CBC = 6,
        AES_CBC = 7,
        CAMELLIA_CBC = 8,
        /// Private range, strongSwan and FreeS/WAN.
        SERPENT_CBC = 65004,
        /// Private range, strongSwan and FreeS/WAN.
        TWOFISH_CBC = 65005,
        /// Private range, SSH Communications Security.
        TWOFISH_CBC_SSH = 65289,
    }
}

impl Encryption {
    /// Block size in octets, which is the IV's size too; `None` for an unknown algorithm.
    pub const fn block_len(self) -> Option<u8> {
        match self {
            Self::DES_CBC
            | Self::IDEA_CBC
            | Self::BLOWFISH_CBC
            | Self::RC5_R16_B64_CBC
            | Self::THREE_DES_CBC
            | Self::CAST_CBC => Some(8),
            Self::AES_CBC
            | Self::CAMELLIA_CBC
            | Self::SERPENT_CBC
            | Self::TWOFISH_CBC
            | Self::TWOFISH_CBC_SSH => Some(16),
            _ => None,
        }
    }

    /// Whether its key length varies, so that a key length attribute belongs to it.
    pub const fn has_variable_key(self) -> bool {
        matches!(
            self,
            Self::BLOWFISH_CBC
                | Self::RC5_R16_B64_CBC
                | Self::CAST_CBC
                | Self::AES_CBC
                | Self::CAMELLIA_CBC
                | Self::SERPENT_CBC
                | Self::TWOFISH_CBC
                | Self::TWOFISH_CBC_SSH
        )
    }
}

wire_code! {
    /// Hash algorithms of phase 1: RFC 2409 appendix A.
    pub struct Hash(u16) {
        MD5 = 1,
        SHA = 2,
        TIGER = 3,
        SHA2_256 = 4,
        SHA2_384 = 5,
        SHA2_512 = 6,
    }
}

impl Hash {
    /// Size of its output in octets, which is the body of a HASH payload and of a NAT-D payload;
    /// `None` for an unknown algorithm.
    pub const fn output_len(self) -> Option<u8> {
        match self {
            Self::MD5 => Some(16),
            Self::SHA => Some(20),
            Self::TIGER => Some(24),
            Self::SHA2_256 => Some(32),
            Self::SHA2_384 => Some(48),
            Self::SHA2_512 => Some(64),
            _ => None,
        }
    }
}

wire_code! {
    /// Authentication methods of phase 1: RFC 2409 appendix A, RFC 4754, and from the private
    /// range draft-ietf-ipsec-isakmp-hybrid-auth and draft-beaulieu-ike-xauth.
    pub struct AuthenticationMethod(u16) {
        PRE_SHARED_KEY = 1 "PSK",
        DSS_SIGNATURES = 2 "DSS_SIG",
        RSA_SIGNATURES = 3 "RSA_SIG",
        RSA_ENCRYPTION = 4 "RSA_ENC",
        REVISED_RSA_ENCRYPTION = 5 "RSA_REVISED_ENC",
        ELGAMAL_ENCRYPTION = 6 "ELGAMAL_ENC",
        REVISED_ELGAMAL_ENCRYPTION = 7 "ELGAMAL_REVISED_ENC",
        ECDSA_SIGNATURES = 8 "ECDSA_SIG",
        ECDSA_SHA_256 = 9 "ECDSA_256",
        ECDSA_SHA_384 = 10 "ECDSA_384",
        ECDSA_SHA_512 = 11 "ECDSA_521",
        HYBRID_INIT_RSA = 64221,
        HYBRID_RESP_RSA = 64222,
        HYBRID_INIT_DSS = 64223,
        HYBRID_RESP_DSS = 64224,
        /// Windows means GSS-API (Kerberos) by the same number, and sends the GSS identity
        /// with it.
        XAUTH_INIT_PRE_SHARED = 65001 "XAUTH_INIT_PSK",
        XAUTH_RESP_PRE_SHARED = 65002 "XAUTH_RESP_PSK",
        XAUTH_INIT_DSS = 65003,
        XAUTH_RESP_DSS = 65004,
        /// MS-IKEE §2.2.4 means authentication by a CGA by the same number.
        XAUTH_INIT_RSA = 65005,
        XAUTH_RESP_RSA = 65006,
        XAUTH_INIT_RSA_ENCRYPTION = 65007 "XAUTH_INIT_RSA_ENC",
        XAUTH_RESP_RSA_ENCRYPTION = 65008 "XAUTH_RESP_RSA_ENC",
        XAUTH_INIT_REVISED_RSA_ENCRYPTION = 65009 "XAUTH_INIT_RSA_REVISED_ENC",
        XAUTH_RESP_REVISED_RSA_ENCRYPTION = 65010 "XAUTH_RESP_RSA_REVISED_ENC",
    }
}

impl AuthenticationMethod {
    /// Whether the peers agreed on XAUTH after phase 1 by choosing this method.
    pub const fn has_xauth(self) -> bool {
        matches!(self.0, 64221..=64224 | 65001..=65010)
    }

    /// Whether the responder alone proves itself in phase 1 (hybrid authentication).
    pub const fn is_hybrid(self) -> bool {
        matches!(self.0, 64221..=64224)
    }

    /// Whether a pre-shared key enters the keys: a wrong one makes message 5 undecipherable.
    pub const fn is_pre_shared_key(self) -> bool {
        matches!(
            self,
            Self::PRE_SHARED_KEY | Self::XAUTH_INIT_PRE_SHARED | Self::XAUTH_RESP_PRE_SHARED
        )
    }

    /// Whether the peers sign, so that certificates may travel in messages 5 and 6.
    pub const fn is_signature(self) -> bool {
        matches!(
            self.0,
            2 | 3 | 8..=11 | 64221..=64224 | 65003..=65006
        )
    }
}

wire_code! {
    /// Diffie-Hellman groups: RFC 2409 §6, RFC 3526, RFC 5114, RFC 5903, RFC 6932.
    pub struct Group(u16) {
        MODP_768 = 1,
        MODP_1024 = 2,
        EC2N_155 = 3,
        EC2N_185 = 4,
        MODP_1536 = 5,
        EC2N_163_RANDOM = 6,
        EC2N_163_KOBLITZ = 7,
        EC2N_283_RANDOM = 8,
        EC2N_283_KOBLITZ = 9,
        EC2N_409_RANDOM = 10,
        EC2N_409_KOBLITZ = 11,
        EC2N_571_RANDOM = 12,
        EC2N_571_KOBLITZ = 13,
        MODP_2048 = 14,
        MODP_3072 = 15,
        MODP_4096 = 16,
        MODP_6144 = 17,
        MODP_8192 = 18,
        ECP_256 = 19,
        ECP_384 = 20,
        ECP_521 = 21,
        MODP_1024_160 = 22,
        MODP_2048_224 = 23,
        MODP_2048_256 = 24,
        ECP_192 = 25,
        ECP_224 = 26,
        BRAINPOOL_224 = 27,
        BRAINPOOL_256 = 28,
        BRAINPOOL_384 = 29,
        BRAINPOOL_512 = 30,
    }
}

impl Group {
    /// Size of a public value in octets, the body of a KE payload; `None` where it is unknown.
    pub const fn public_len(self) -> Option<u16> {
        match self {
            Self::MODP_768 | Self::ECP_384 | Self::BRAINPOOL_384 => Some(96),
            Self::MODP_1024 | Self::MODP_1024_160 | Self::BRAINPOOL_512 => Some(128),
            // RFC 2409 §6.3 and §6.4: the x coordinate alone.
            Self::EC2N_155 => Some(20),
            Self::EC2N_185 => Some(24),
            Self::MODP_1536 => Some(192),
            Self::MODP_2048 | Self::MODP_2048_224 | Self::MODP_2048_256 => Some(256),
            Self::MODP_3072 => Some(384),
            Self::MODP_4096 => Some(512),
            Self::MODP_6144 => Some(768),
            Self::MODP_8192 => Some(1024),
            Self::ECP_192 => Some(48),
            Self::ECP_224 | Self::BRAINPOOL_224 => Some(56),
            Self::ECP_256 | Self::BRAINPOOL_256 => Some(64),
            Self::ECP_521 => Some(132),
            _ => None,
        }
    }
}

wire_code! {
    /// Types of a group that is spelled out: RFC 2409 appendix A.
    pub struct GroupType(u16) {
        MODP = 1,
        ECP = 2,
        EC2N = 3,
    }
}

wire_code! {
    /// What a lifetime counts: RFC 2409 appendix A, RFC 2407 §4.5.
    pub struct LifeType(u16) {
        SECONDS = 1,
        KILOBYTES = 2,
    }
}

wire_code! {
    /// Attribute classes of a phase-2 transform: RFC 2407 §4.5 and successors.
    pub struct IpsecAttribute(u16) {
        SA_LIFE_TYPE = 1,
        SA_LIFE_DURATION = 2,
        GROUP_DESCRIPTION = 3,
        ENCAPSULATION_MODE = 4,
        AUTHENTICATION_ALGORITHM = 5,
        KEY_LENGTH = 6,
        KEY_ROUNDS = 7,
        COMPRESS_DICTIONARY_SIZE = 8,
        COMPRESS_PRIVATE_ALGORITHM = 9,
        ECN_TUNNEL = 10,
        EXTENDED_SEQUENCE_NUMBER = 11,
        AUTHENTICATION_KEY_LENGTH = 12,
        SIGNATURE_ENCODING_ALGORITHM = 13,
        ADDRESS_PRESERVATION = 14,
        SA_DIRECTION = 15,
    }
}

wire_code! {
    /// Encapsulation modes: RFC 2407 §4.5, RFC 3947 §5.1, its drafts, and Check Point.
    pub struct EncapsulationMode(u16) {
        TUNNEL = 1,
        TRANSPORT = 2,
        UDP_ENCAPSULATED_TUNNEL = 3,
        UDP_ENCAPSULATED_TRANSPORT = 4,
        /// Private range, Check Point.
        CHECK_POINT_UDP_ENCAPSULATION = 61440,
        /// Private range, drafts 00 to 03 of RFC 3947.
        UDP_ENCAPSULATED_TUNNEL_DRAFT = 61443,
        /// Private range, drafts 00 to 03 of RFC 3947.
        UDP_ENCAPSULATED_TRANSPORT_DRAFT = 61444,
    }
}

impl EncapsulationMode {
    /// Whether ESP is to travel in UDP.
    pub const fn is_udp(self) -> bool {
        matches!(self.0, 3 | 4 | 61440 | 61443 | 61444)
    }

    /// Whether it is a transport mode, inside UDP or not.
    pub const fn is_transport(self) -> bool {
        matches!(self.0, 2 | 4 | 61444)
    }
}

wire_code! {
    /// Authentication algorithms of phase 2: RFC 2407 §4.5 and successors.
    pub struct AuthenticationAlgorithm(u16) {
        HMAC_MD5 = 1,
        HMAC_SHA = 2,
        DES_MAC = 3,
        KPDK = 4,
        HMAC_SHA2_256 = 5,
        HMAC_SHA2_384 = 6,
        HMAC_SHA2_512 = 7,
        HMAC_RIPEMD = 8,
        AES_XCBC_MAC = 9,
        SIG_RSA = 10,
        AES_128_GMAC = 11,
        AES_192_GMAC = 12,
        AES_256_GMAC = 13,
        /// Private range, FreeS/WAN and its descendants.
        NULL = 251,
        /// Private range, FreeS/WAN and its descendants.
        HMAC_SHA2_256_96 = 252,
    }
}

wire_code! {
    /// Types of an identification payload: RFC 2407 §4.6.2.1, RFC 3554, MS-IKEE.
    pub struct IdType(u8) {
        IPV4_ADDR = 1,
        FQDN = 2,
        USER_FQDN = 3,
        IPV4_ADDR_SUBNET = 4,
        IPV6_ADDR = 5,
        IPV6_ADDR_SUBNET = 6,
        IPV4_ADDR_RANGE = 7,
        IPV6_ADDR_RANGE = 8,
        DER_ASN1_DN = 9,
        DER_ASN1_GN = 10,
        KEY_ID = 11,
        LIST = 12,
        /// Private range, MS-IKEE §2.2.5.
        IPV6_CGA = 250,
    }
}

wire_code! {
    /// Certificate encodings: RFC 2408 §3.9.
    pub struct CertEncoding(u8) {
        NONE = 0,
        PKCS_7_WRAPPED_X_509 = 1,
        PGP = 2,
        DNS_SIGNED_KEY = 3,
        X_509_SIGNATURE = 4,
        X_509_KEY_EXCHANGE = 5,
        KERBEROS_TOKENS = 6,
        CRL = 7,
        ARL = 8,
        SPKI = 9,
        X_509_ATTRIBUTE = 10,
    }
}

wire_code! {
    /// Notify message types: RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706 §5.4, and what Cisco
    /// and Microsoft put into the private ranges.
    pub struct NotifyType(u16) {
        INVALID_PAYLOAD_TYPE = 1 "INVALID-PAYLOAD-TYPE",
        DOI_NOT_SUPPORTED = 2 "DOI-NOT-SUPPORTED",
        SITUATION_NOT_SUPPORTED = 3 "SITUATION-NOT-SUPPORTED",
        INVALID_COOKIE = 4 "INVALID-COOKIE",
        INVALID_MAJOR_VERSION = 5 "INVALID-MAJOR-VERSION",
        INVALID_MINOR_VERSION = 6 "INVALID-MINOR-VERSION",
        INVALID_EXCHANGE_TYPE = 7 "INVALID-EXCHANGE-TYPE",
        INVALID_FLAGS = 8 "INVALID-FLAGS",
        INVALID_MESSAGE_ID = 9 "INVALID-MESSAGE-ID",
        INVALID_PROTOCOL_ID = 10 "INVALID-PROTOCOL-ID",
        INVALID_SPI = 11 "INVALID-SPI",
        INVALID_TRANSFORM_ID = 12 "INVALID-TRANSFORM-ID",
        ATTRIBUTES_NOT_SUPPORTED = 13 "ATTRIBUTES-NOT-SUPPORTED",
        NO_PROPOSAL_CHOSEN = 14 "NO-PROPOSAL-CHOSEN",
        BAD_PROPOSAL_SYNTAX = 15 "BAD-PROPOSAL-SYNTAX",
        PAYLOAD_MALFORMED = 16 "PAYLOAD-MALFORMED",
        INVALID_KEY_INFORMATION = 17 "INVALID-KEY-INFORMATION",
        INVALID_ID_INFORMATION = 18 "INVALID-ID-INFORMATION",
        INVALID_CERT_ENCODING = 19 "INVALID-CERT-ENCODING",
        INVALID_CERTIFICATE = 20 "INVALID-CERTIFICATE",
        CERT_TYPE_UNSUPPORTED = 21 "CERT-TYPE-UNSUPPORTED",
        INVALID_CERT_AUTHORITY = 22 "INVALID-CERT-AUTHORITY",
        INVALID_HASH_INFORMATION = 23 "INVALID-HASH-INFORMATION",
        AUTHENTICATION_FAILED = 24 "AUTHENTICATION-FAILED",
        INVALID_SIGNATURE = 25 "INVALID-SIGNATURE",
        ADDRESS_NOTIFICATION = 26 "ADDRESS-NOTIFICATION",
        NOTIFY_SA_LIFETIME = 27 "NOTIFY-SA-LIFETIME",
        CERTIFICATE_UNAVAILABLE = 28 "CERTIFICATE-UNAVAILABLE",
        UNSUPPORTED_EXCHANGE_TYPE = 29 "UNSUPPORTED-EXCHANGE-TYPE",
        UNEQUAL_PAYLOAD_LENGTHS = 30 "UNEQUAL-PAYLOAD-LENGTHS",
        CONNECTED = 16384 "CONNECTED",
        RESPONDER_LIFETIME = 24576 "RESPONDER-LIFETIME",
        REPLAY_STATUS = 24577 "REPLAY-STATUS",
        INITIAL_CONTACT = 24578 "INITIAL-CONTACT",
        /// Private range, Cisco IOS keepalive.
        CISCO_KEEPALIVE = 32768 "CISCO-KEEPALIVE",
        /// Private range, Cisco IOS keepalive.
        CISCO_KEEPALIVE_ACK = 32769 "CISCO-KEEPALIVE-ACK",
        R_U_THERE = 36136 "R-U-THERE",
        R_U_THERE_ACK = 36137 "R-U-THERE-ACK",
        /// Private range, MS-IKEE §2.2.6: why the sender gave up, as a Windows error code.
        MS_NOTIFY_STATUS = 40003 "MS-NOTIFY-STATUS",
        /// Private range, MS-IKEE §2.2.6.
        MS_NOTIFY_DOS_COOKIE = 40004 "MS-NOTIFY-DOS-COOKIE",
        /// Private range, MS-IKEE §2.2.6.
        MS_EXCHANGE_INFO = 40005 "MS-EXCHANGE-INFO",
        /// Private range, Cisco.
        CISCO_HELLO = 40500 "CISCO-HELLO",
        /// Private range, Cisco: go to the address in the data instead.
        CISCO_LOAD_BALANCE = 40501 "CISCO-LOAD-BALANCE",
        /// Private range, Cisco.
        CISCO_UNKNOWN_40502 = 40502 "CISCO-UNKNOWN-40502",
        /// Private range, Cisco.
        CISCO_SHUT_UP = 40503 "CISCO-SHUT-UP",
        /// Private range, Cisco: the hash of the pre-shared key.
        CISCO_PRESHARED_KEY_HASH = 40504 "CISCO-PRESHARED-KEY-HASH",
    }
}

impl NotifyType {
    /// Whether it reports an error: 1 to 8191 by RFC 2408, 8192 to 16383 for private use.
    pub const fn is_error(self) -> bool {
        self.0 > 0 && self.0 < 16384
    }

    /// Whether it is from a range for private use: its meaning depends on the peers' vendor IDs.
    pub const fn is_private_use(self) -> bool {
        matches!(self.0, 8192..=16383 | 32768..=65535)
    }
}

wire_code! {
    /// Message types of an attribute payload: draft-ietf-ipsec-isakmp-mode-cfg §3.2.
    pub struct ConfigType(u8) {
        REQUEST = 1 "ISAKMP_CFG_REQUEST",
        REPLY = 2 "ISAKMP_CFG_REPLY",
        SET = 3 "ISAKMP_CFG_SET",
        ACK = 4 "ISAKMP_CFG_ACK",
    }
}

wire_code! {
    /// Attributes of transaction exchanges: draft-ietf-ipsec-isakmp-mode-cfg §3.3,
    /// draft-beaulieu-ike-xauth §4.1, and Cisco's from the private range.
    pub struct ConfigAttribute(u16) {
        INTERNAL_IP4_ADDRESS = 1,
        INTERNAL_IP4_NETMASK = 2,
        INTERNAL_IP4_DNS = 3,
        INTERNAL_IP4_NBNS = 4,
        INTERNAL_ADDRESS_EXPIRY = 5,
        INTERNAL_IP4_DHCP = 6,
        APPLICATION_VERSION = 7,
        INTERNAL_IP6_ADDRESS = 8,
        INTERNAL_IP6_NETMASK = 9,
        INTERNAL_IP6_DNS = 10,
        INTERNAL_IP6_NBNS = 11,
        INTERNAL_IP6_DHCP = 12,
        INTERNAL_IP4_SUBNET = 13,
        SUPPORTED_ATTRIBUTES = 14,
        INTERNAL_IP6_SUBNET = 15,
        XAUTH_TYPE = 16520,
        XAUTH_USER_NAME = 16521,
        XAUTH_USER_PASSWORD = 16522,
        XAUTH_PASSCODE = 16523,
        XAUTH_MESSAGE = 16524,
        XAUTH_CHALLENGE = 16525,
        XAUTH_DOMAIN = 16526,
        XAUTH_STATUS = 16527,
        XAUTH_NEXT_PIN = 16528,
        XAUTH_ANSWER = 16529,
        UNITY_BANNER = 28672,
        UNITY_SAVE_PASSWD = 28673,
        UNITY_DEF_DOMAIN = 28674,
        UNITY_SPLITDNS_NAME = 28675,
        UNITY_SPLIT_INCLUDE = 28676,
        UNITY_NATT_PORT = 28677,
        UNITY_LOCAL_LAN = 28678,
        UNITY_PFS = 28679,
        UNITY_FW_TYPE = 28680,
        UNITY_BACKUP_SERVERS = 28681,
        UNITY_DDNS_HOSTNAME = 28682,
    }
}

impl ConfigAttribute {
    /// Whether it belongs to XAUTH rather than to mode config.
    pub const fn is_xauth(self) -> bool {
        matches!(self.0, 16520..=16529)
    }

    /// Whether its value is a password, or an answer from which one can be guessed: never to be
    /// shown unless asked for.
    pub const fn is_secret(self) -> bool {
        matches!(
            self,
            Self::XAUTH_USER_PASSWORD
                | Self::XAUTH_PASSCODE
                | Self::XAUTH_NEXT_PIN
                | Self::XAUTH_ANSWER
        )
    }
}

wire_code! {
    /// Values of `XAUTH_TYPE`: draft-beaulieu-ike-xauth §4.2.
    pub struct XauthType(u16) {
        GENERIC = 0 "Generic",
        RADIUS_CHAP = 1 "RADIUS-CHAP",
        OTP = 2,
        S_KEY = 3 "S/KEY",
    }
}

wire_code! {
    /// Values of `XAUTH_STATUS`: draft-beaulieu-ike-xauth §4.2.
    pub struct XauthStatus(u16) {
        FAIL = 0,
        OK = 1,
    }
}

/// Name of a transform identifier, which depends on the proposal's protocol.
pub const fn transform_name(protocol: Protocol, id: u8) -> Option<&'static str> {
    match protocol {
        Protocol::ISAKMP => IsakmpTransform(id).name(),
        Protocol::AH => AhTransform(id).name(),
        Protocol::ESP => EspTransform(id).name(),
        Protocol::IPCOMP => IpcompTransform(id).name(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_1_exchanges() {
        let phase_1: Vec<u8> = ExchangeType::KNOWN
            .iter()
            .filter(|exchange| exchange.is_phase_1())
            .map(|exchange| exchange.0)
            .collect();
        assert_eq!(phase_1, [1, 2, 3, 4]);
    }

    #[test]
    fn error_notifies_are_those_below_16384() {
        for &notify in NotifyType::KNOWN {
            assert_eq!(notify.is_error(), notify.0 <= 30, "{notify}");
        }
        assert!(!NotifyType(0).is_error());
        assert!(NotifyType(16383).is_error());
        assert!(!NotifyType::CONNECTED.is_error());
    }

    #[test]
    fn private_use_notifies() {
        let private: Vec<u16> = NotifyType::KNOWN
            .iter()
            .filter(|notify| notify.is_private_use())
            .map(|notify| notify.0)
            .collect();
        assert_eq!(
            private,
            [
                32768, 32769, 36136, 36137, 40003, 40004, 40005, 40500, 40501, 40502, 40503, 40504
            ]
        );
    }

    #[test]
    fn every_known_cipher_and_hash_has_its_sizes() {
        assert!(Encryption::KNOWN.iter().all(|e| e.block_len().is_some()));
        assert_eq!(Encryption::THREE_DES_CBC.block_len(), Some(8));
        assert_eq!(Encryption::AES_CBC.block_len(), Some(16));
        assert_eq!(Encryption(99).block_len(), None);
        assert!(Hash::KNOWN.iter().all(|h| h.output_len().is_some()));
        assert!(!Encryption::THREE_DES_CBC.has_variable_key());
    }

    #[test]
    fn public_values_have_the_size_of_the_modulus() {
        for (group, bits) in [
            (Group::MODP_768, 768),
            (Group::MODP_1024, 1024),
            (Group::MODP_1536, 1536),
            (Group::MODP_2048, 2048),
            (Group::MODP_3072, 3072),
            (Group::MODP_4096, 4096),
            (Group::MODP_6144, 6144),
            (Group::MODP_8192, 8192),
        ] {
            assert_eq!(group.public_len(), Some(bits / 8), "{group}");
        }
        assert_eq!(Group::ECP_521.public_len(), Some(132));
        assert_eq!(Group::EC2N_571_KOBLITZ.public_len(), None);
    }

    #[test]
    fn authentication_methods_are_of_one_kind() {
        for &method in AuthenticationMethod::KNOWN {
            assert!(
                !(method.is_pre_shared_key() && method.is_signature()),
                "{method}"
            );
            assert_eq!(method.has_xauth(), method.0 >= 64221, "{method}");
            assert_eq!(
                method.is_hybrid(),
                method.to_string().starts_with("HYBRID"),
                "{method}"
            );
        }
    }

    #[test]
    fn secrets_are_xauth_attributes() {
        let secret: Vec<u16> = ConfigAttribute::KNOWN
            .iter()
            .filter(|attribute| attribute.is_secret())
            .map(|attribute| attribute.0)
            .collect();
        assert_eq!(secret, [16522, 16523, 16528, 16529]);
        assert!(
            ConfigAttribute::KNOWN
                .iter()
                .all(|a| !a.is_secret() || a.is_xauth())
        );
    }

    #[test]
    fn encapsulation_modes() {
        for &mode in EncapsulationMode::KNOWN {
            assert_eq!(mode.is_udp(), mode.to_string().contains("UDP"), "{mode}");
            assert_eq!(
                mode.is_transport(),
                mode.to_string().contains("TRANSPORT"),
                "{mode}"
            );
        }
    }

    #[test]
    fn transform_names_depend_on_the_protocol() {
        assert_eq!(transform_name(Protocol::ISAKMP, 1), Some("KEY_IKE"));
        assert_eq!(transform_name(Protocol::AH, 2), Some("AH_MD5"));
        assert_eq!(transform_name(Protocol::ESP, 12), Some("ESP_AES_CBC"));
        assert_eq!(transform_name(Protocol::IPCOMP, 2), Some("IPCOMP_DEFLATE"));
        assert_eq!(transform_name(Protocol(9), 2), None);
    }
}
