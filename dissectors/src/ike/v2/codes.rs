//! The numbers of IKEv2, named as the IANA registry "Internet Key Exchange Version 2
//! (IKEv2) Parameters" names them, and what follows from them: lengths and classes.
//!
//! Registry read 2026-11. Key exchange methods carry short names of our own, because the
//! registry has descriptions there.

wire_code! {
    /// Exchange types (header octet 18). Registry: "IKEv2 Exchange Types".
    pub struct ExchangeType(u8) {
        /// RFC 7296 §1.2.
        IKE_SA_INIT = 34,
        /// RFC 7296 §1.2.
        IKE_AUTH = 35,
        /// RFC 7296 §1.3.
        CREATE_CHILD_SA = 36,
        /// RFC 7296 §1.4.
        INFORMATIONAL = 37,
        /// RFC 5723 §4.3.2.
        IKE_SESSION_RESUME = 38,
        /// RFC 9838.
        GSA_AUTH = 39,
        /// RFC 9838.
        GSA_REGISTRATION = 40,
        /// RFC 9838.
        GSA_REKEY = 41,
        /// RFC 9838.
        GSA_INBAND_REKEY = 42,
        /// RFC 9242.
        IKE_INTERMEDIATE = 43,
        /// RFC 9370.
        IKE_FOLLOWUP_KE = 44,
    }
}

wire_code! {
    /// Payload types. Registry: "IKEv2 Payload Types", column *Notation*.
    pub struct PayloadType(u8) {
        /// No next payload.
        NONE = 0,
        /// Security association, RFC 7296 §3.3.
        SA = 33,
        /// Key exchange, RFC 7296 §3.4.
        KE = 34,
        /// Identification of the initiator, RFC 7296 §3.5.
        IDI = 35 "IDi",
        /// Identification of the responder, RFC 7296 §3.5.
        IDR = 36 "IDr",
        /// Certificate, RFC 7296 §3.6.
        CERT = 37,
        /// Certificate request, RFC 7296 §3.7.
        CERTREQ = 38,
        /// Authentication, RFC 7296 §3.8.
        AUTH = 39,
        /// Nonce, RFC 7296 §3.9. The registry writes *Ni, Nr*.
        NONCE = 40 "Nonce",
        /// Notify, RFC 7296 §3.10.
        N = 41,
        /// Delete, RFC 7296 §3.11.
        D = 42,
        /// Vendor id, RFC 7296 §3.12.
        V = 43,
        /// Traffic selectors of the initiator, RFC 7296 §3.13.
        TSI = 44 "TSi",
        /// Traffic selectors of the responder, RFC 7296 §3.13.
        TSR = 45 "TSr",
        /// Encrypted and authenticated, RFC 7296 §3.14.
        SK = 46,
        /// Configuration, RFC 7296 §3.15.
        CP = 47,
        /// Extensible authentication, RFC 7296 §3.16.
        EAP = 48,
        /// Generic secure password method, RFC 6467.
        GSPM = 49,
        /// Group identification, RFC 9838.
        IDG = 50 "IDg",
        /// Group security association, RFC 9838.
        GSA = 51,
        /// Key download, RFC 9838.
        KD = 52,
        /// Encrypted and authenticated fragment, RFC 7383 §2.5.
        SKF = 53,
        /// Puzzle solution, RFC 8019 §8.2.
        PS = 54,
    }
}

wire_code! {
    /// Security protocols. Registry: "IKEv2 Security Protocol Identifiers".
    pub struct ProtocolId(u8) {
        /// No protocol: a notify that concerns no SA, or one that names the IKE SA itself.
        NONE = 0,
        IKE = 1,
        AH = 2,
        ESP = 3,
        /// RFC 4595.
        FC_ESP_HEADER = 4,
        /// RFC 4595.
        FC_CT_AUTHENTICATION = 5,
        /// RFC 9838.
        GIKE_UPDATE = 6,
    }
}

wire_code! {
    /// Transform types. Registry: "Transform Type Values".
    pub struct TransformType(u8) {
        /// Encryption algorithm.
        ENCR = 1,
        /// Pseudorandom function.
        PRF = 2,
        /// Integrity algorithm.
        INTEG = 3,
        /// Key exchange method; Diffie-Hellman group before RFC 9370.
        KE = 4,
        /// Sequence numbers; extended sequence numbers before RFC 9827.
        SN = 5,
        /// Additional key exchange, RFC 9370.
        ADDKE1 = 6,
        /// Additional key exchange, RFC 9370.
        ADDKE2 = 7,
        /// Additional key exchange, RFC 9370.
        ADDKE3 = 8,
        /// Additional key exchange, RFC 9370.
        ADDKE4 = 9,
        /// Additional key exchange, RFC 9370.
        ADDKE5 = 10,
        /// Additional key exchange, RFC 9370.
        ADDKE6 = 11,
        /// Additional key exchange, RFC 9370.
        ADDKE7 = 12,
        /// Key wrap algorithm, RFC 9838.
        KWA = 13,
        /// Group controller authentication method, RFC 9838.
        GCAUTH = 14,
    }
}

impl TransformType {
    /// Which additional key exchange this is: 1 to 7, or `None`.
    pub const fn additional_key_exchange(self) -> Option<u8> {
        match self.0 {
            6..=12 => Some(self.0.saturating_sub(5)),
            _ => None,
        }
    }
}

wire_code! {
    /// Transform attribute types. Registry: "IKEv2 Transform Attribute Types".
    pub struct TransformAttributeType(u16) {
        /// In bits, RFC 7296 §3.3.5.
        KEY_LENGTH = 14,
        /// RFC 9838.
        SIGNATURE_ALGORITHM_IDENTIFIER = 18,
    }
}

wire_code! {
    /// Encryption algorithms. Registry: "Transform Type 1 - Encryption Algorithm Transform IDs".
    pub struct Encryption(u16) {
        ENCR_DES_IV64 = 1,
        ENCR_DES = 2,
        ENCR_3DES = 3,
        ENCR_RC5 = 4,
        ENCR_IDEA = 5,
        ENCR_CAST = 6,
        ENCR_BLOWFISH = 7,
        ENCR_3IDEA = 8,
        ENCR_DES_IV32 = 9,
        ENCR_NULL = 11,
        ENCR_AES_CBC = 12,
        ENCR_AES_CTR = 13,
        ENCR_AES_CCM_8 = 14,
        ENCR_AES_CCM_12 = 15,
        ENCR_AES_CCM_16 = 16,
        ENCR_AES_GCM_8 = 18,
        ENCR_AES_GCM_12 = 19,
        ENCR_AES_GCM_16 = 20,
        /// RFC 4543: authenticates, does not encrypt.
        ENCR_NULL_AUTH_AES_GMAC = 21,
        ENCR_CAMELLIA_CBC = 23,
        ENCR_CAMELLIA_CTR = 24,
        ENCR_CAMELLIA_CCM_8 = 25,
        ENCR_CAMELLIA_CCM_12 = 26,
        ENCR_CAMELLIA_CCM_16 = 27,
        /// RFC 7634.
        ENCR_CHACHA20_POLY1305 = 28,
        /// RFC 8750, ESP only.
        ENCR_AES_CCM_8_IIV = 29,
        /// RFC 8750, ESP only.
        ENCR_AES_GCM_16_IIV = 30,
        /// RFC 8750, ESP only.
        ENCR_CHACHA20_POLY1305_IIV = 31,
        /// RFC 9227.
        ENCR_KUZNYECHIK_MGM_KTREE = 32,
        /// RFC 9227.
        ENCR_MAGMA_MGM_KTREE = 33,
        /// RFC 9227: authenticates, does not encrypt.
        ENCR_KUZNYECHIK_MGM_MAC_KTREE = 34,
        /// RFC 9227: authenticates, does not encrypt.
        ENCR_MAGMA_MGM_MAC_KTREE = 35,
    }
}

impl Encryption {
    /// The name without `ENCR_`, as people write suites: `AES_CBC`.
    pub fn short_name(self) -> Option<&'static str> {
        self.name()
            .map(|name| name.strip_prefix("ENCR_").unwrap_or(name))
    }

    /// Whether it authenticates too, so that no integrity algorithm is negotiated with it.
    pub const fn is_aead(self) -> bool {
        matches!(self.0, 14..=16 | 18..=21 | 25..=35)
    }

    /// Octets of initialisation vector at the head of the encrypted octets, or `None` where
    /// the algorithm is unknown or never got a definition for IKEv2.
    ///
    /// RFC 2451 §3 (DES, 3DES, CAST, IDEA, Blowfish, RC5), RFC 2410 (NULL), RFC 3602 §3 (AES-CBC),
    /// RFC 3686 §3.1 and RFC 5930 §3.1 (AES-CTR), RFC 4309 §3.1 (AES-CCM), RFC 4106 §3.1 (AES-GCM),
    /// RFC 4543 §3.1 (GMAC), RFC 5529 §2 (Camellia), RFC 7634 §2 (ChaCha20), RFC 8750 §3
    /// (implicit, hence none), RFC 9227 §4.3 (GOST).
    pub const fn iv_len(self) -> Option<usize> {
        match self.0 {
            1..=8 | 13..=16 | 18..=21 | 24..=28 | 32..=35 => Some(8),
            9 => Some(4),
            11 | 29..=31 => Some(0),
            12 | 23 => Some(16),
            _ => None,
        }
    }

    /// Octets to a multiple of which the cipher needs its plaintext padded: the block size in CBC
    /// mode, 1 for everything that needs no padding. ESP pads to 4 octets besides
    /// (RFC 4303 §2.4), which is not counted here.
    ///
    /// RFC 2451 §2.5, RFC 3602 §2.4, RFC 5930 §3.2, RFC 5282 §3.1, RFC 4106 §3.2, RFC 5529 §2,
    /// RFC 7634 §2, RFC 9227 §4.2.
    pub const fn block_len(self) -> Option<usize> {
        match self.0 {
            1..=9 => Some(8),
            11 | 13..=16 | 18..=21 | 24..=35 => Some(1),
            12 | 23 => Some(16),
            _ => None,
        }
    }

    /// Octets of integrity check value that the algorithm itself appends: `Some(0)` for one
    /// that needs an integrity algorithm beside it, `None` for an unknown one.
    ///
    /// RFC 4309 §3.2 and RFC 5529 §2 (CCM), RFC 4106 §3.3 (GCM), RFC 4543 §3.4 (GMAC),
    /// RFC 7634 §2 (ChaCha20-Poly1305), RFC 9227 §4.4 (12 octets Kuznyechik, 8 octets Magma).
    pub const fn icv_len(self) -> Option<usize> {
        match self.0 {
            1..=9 | 11..=13 | 23 | 24 => Some(0),
            14 | 18 | 25 | 29 | 33 | 35 => Some(8),
            15 | 19 | 26 | 32 | 34 => Some(12),
            16 | 20 | 21 | 27 | 28 | 30 | 31 => Some(16),
            _ => None,
        }
    }

    /// Whether a proposal must say the key length (RFC 7296 §3.3.5): AES and Camellia in every
    /// mode. For RC5, CAST and Blowfish it may (RFC 2451 §2.1).
    pub const fn needs_key_length(self) -> bool {
        matches!(self.0, 12..=16 | 18..=21 | 23..=27 | 29 | 30)
    }
}

wire_code! {
    /// Pseudorandom functions. Registry: "Transform Type 2 - Pseudorandom Function Transform IDs".
    pub struct Prf(u16) {
        PRF_HMAC_MD5 = 1,
        PRF_HMAC_SHA1 = 2,
        PRF_HMAC_TIGER = 3,
        PRF_AES128_XCBC = 4,
        PRF_HMAC_SHA2_256 = 5,
        PRF_HMAC_SHA2_384 = 6,
        PRF_HMAC_SHA2_512 = 7,
        PRF_AES128_CMAC = 8,
        /// RFC 9385.
        PRF_HMAC_STREEBOG_512 = 9,
    }
}

impl Prf {
    /// Octets of output, which is also the length of AUTH data made with a shared key
    /// (RFC 7296 §2.15). RFC 2104 (HMAC: that of the hash), RFC 4434 (XCBC), RFC 4615 (CMAC),
    /// RFC 4868 §2.4 (SHA-2), RFC 9385 §4 (Streebog).
    pub const fn output_len(self) -> Option<usize> {
        match self.0 {
            1 | 4 | 8 => Some(16),
            2 => Some(20),
            3 => Some(24),
            5 => Some(32),
            6 => Some(48),
            7 | 9 => Some(64),
            _ => None,
        }
    }
}

wire_code! {
    /// Integrity algorithms. Registry: "Transform Type 3 - Integrity Algorithm Transform IDs".
    pub struct Integrity(u16) {
        NONE = 0,
        AUTH_HMAC_MD5_96 = 1,
        AUTH_HMAC_SHA1_96 = 2,
        AUTH_DES_MAC = 3,
        AUTH_KPDK_MD5 = 4,
        AUTH_AES_XCBC_96 = 5,
        /// RFC 4595.
        AUTH_HMAC_MD5_128 = 6,
        /// RFC 4595.
        AUTH_HMAC_SHA1_160 = 7,
        AUTH_AES_CMAC_96 = 8,
        /// RFC 4543, AH only.
        AUTH_AES_128_GMAC = 9,
        /// RFC 4543, AH only.
        AUTH_AES_192_GMAC = 10,
        /// RFC 4543, AH only.
        AUTH_AES_256_GMAC = 11,
        AUTH_HMAC_SHA2_256_128 = 12,
        AUTH_HMAC_SHA2_384_192 = 13,
        AUTH_HMAC_SHA2_512_256 = 14,
    }
}

impl Integrity {
    /// The name without `AUTH_`, as people write suites: `HMAC_SHA2_256_128`.
    pub fn short_name(self) -> Option<&'static str> {
        self.name()
            .map(|name| name.strip_prefix("AUTH_").unwrap_or(name))
    }

    /// Octets of integrity check value. RFC 2403, RFC 2404 (HMAC-MD5, HMAC-SHA1: 96 bits), RFC 3566
    /// (XCBC), RFC 4494 (CMAC), RFC 4595 §3 (128 and 160 bits), RFC 4543 §3.4 (GMAC), RFC 4868 §2.3
    /// (SHA-2). `None` for an unknown one and for `AUTH_DES_MAC` and `AUTH_KPDK_MD5`, which no RFC
    /// defines for IKEv2.
    pub const fn icv_len(self) -> Option<usize> {
        match self.0 {
            0 => Some(0),
            1 | 2 | 5 | 8 => Some(12),
            6 | 9..=12 => Some(16),
            7 => Some(20),
            13 => Some(24),
            14 => Some(32),
            _ => None,
        }
    }
}

wire_code! {
    /// Key exchange methods. Registry: "Transform Type 4 - Key Exchange Method Transform IDs".
    pub struct KeyExchange(u16) {
        NONE = 0,
        /// 768-bit MODP, RFC 7296 appendix B.
        MODP_768 = 1,
        /// 1024-bit MODP, RFC 7296 appendix B.
        MODP_1024 = 2,
        /// RFC 3526.
        MODP_1536 = 5,
        /// RFC 3526.
        MODP_2048 = 14,
        /// RFC 3526.
        MODP_3072 = 15,
        /// RFC 3526.
        MODP_4096 = 16,
        /// RFC 3526.
        MODP_6144 = 17,
        /// RFC 3526.
        MODP_8192 = 18,
        /// RFC 5903.
        ECP_256 = 19,
        /// RFC 5903.
        ECP_384 = 20,
        /// RFC 5903.
        ECP_521 = 21,
        /// 1024-bit MODP with a 160-bit prime order subgroup, RFC 5114.
        MODP_1024_160 = 22,
        /// 2048-bit MODP with a 224-bit prime order subgroup, RFC 5114.
        MODP_2048_224 = 23,
        /// 2048-bit MODP with a 256-bit prime order subgroup, RFC 5114.
        MODP_2048_256 = 24,
        /// RFC 5114.
        ECP_192 = 25,
        /// RFC 5114.
        ECP_224 = 26,
        /// RFC 6954.
        BRAINPOOL_P224R1 = 27,
        /// RFC 6954.
        BRAINPOOL_P256R1 = 28,
        /// RFC 6954.
        BRAINPOOL_P384R1 = 29,
        /// RFC 6954.
        BRAINPOOL_P512R1 = 30,
        /// X25519, RFC 8031.
        CURVE25519 = 31,
        /// X448, RFC 8031.
        CURVE448 = 32,
        /// RFC 9385.
        GOST3410_2012_256 = 33,
        /// RFC 9385.
        GOST3410_2012_512 = 34,
        /// FIPS 203, draft-ietf-ipsecme-ikev2-mlkem.
        ML_KEM_512 = 35,
        /// FIPS 203, draft-ietf-ipsecme-ikev2-mlkem.
        ML_KEM_768 = 36,
        /// FIPS 203, draft-ietf-ipsecme-ikev2-mlkem.
        ML_KEM_1024 = 37,
    }
}

/// Octets of key exchange data that each side sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicLen {
    /// What the initiator sends.
    pub initiator: usize,
    /// What the responder sends.
    pub responder: usize,
}

impl KeyExchange {
    /// Octets of key exchange data that each side sends; they differ where the method is a KEM,
    /// whose initiator sends a key and whose responder sends a ciphertext.
    ///
    /// RFC 7296 §3.4 (MODP: the length of the modulus), RFC 5903 §7 and RFC 5114 (ECP: x and y),
    /// RFC 6954 §2.3, RFC 8031 §2 (X25519, X448), RFC 9385 §5 (GOST), FIPS 203 §8 table 3 (ML-KEM).
    pub const fn public_len(self) -> Option<PublicLen> {
        let (initiator, responder) = match self.0 {
            1 | 20 | 29 => (96, 96),
            2 | 22 | 30 | 34 => (128, 128),
            5 => (192, 192),
            14 | 23 | 24 => (256, 256),
            15 => (384, 384),
            16 => (512, 512),
            17 => (768, 768),
            18 => (1024, 1024),
            19 | 28 | 33 => (64, 64),
            21 => (132, 132),
            25 => (48, 48),
            26 | 27 | 32 => (56, 56),
            31 => (32, 32),
            35 => (800, 768),
            36 => (1184, 1088),
            37 => (1568, 1568),
            _ => return None,
        };
        Some(PublicLen {
            initiator,
            responder,
        })
    }

    /// Whether it is a key encapsulation mechanism believed to withstand quantum computers.
    pub const fn is_post_quantum(self) -> bool {
        matches!(self.0, 35..=37)
    }
}

wire_code! {
    /// Sequence number properties. Registry: "Transform Type 5 - Sequence Numbers Transform IDs".
    pub struct SequenceNumbers(u16) {
        /// 32-bit sequential numbers; *no extended sequence numbers* before RFC 9827.
        SEQUENTIAL_32 = 0 "32-bit Sequential Numbers",
        /// Partially transmitted 64-bit sequential numbers; *extended sequence numbers* before
        /// RFC 9827.
        PARTIALLY_TRANSMITTED_64 = 1 "Partially Transmitted 64-bit Sequential Numbers",
        /// RFC 9827.
        UNSPECIFIED_32 = 2 "32-bit Unspecified Numbers",
    }
}

impl SequenceNumbers {
    /// What people call it: `NO_ESN`, `ESN`.
    pub const fn short_name(self) -> Option<&'static str> {
        match self.0 {
            0 => Some("NO_ESN"),
            1 => Some("ESN"),
            2 => Some("UNSPECIFIED_32"),
            _ => None,
        }
    }
}

wire_code! {
    /// Key wrap algorithms, RFC 9838. Registry: "Transform Type 13 - Key Wrap Algorithm
    /// Transform IDs".
    pub struct KeyWrap(u16) {
        KW_5649_128 = 1,
        KW_5649_192 = 2,
        KW_5649_256 = 3,
        KW_ARX = 4,
    }
}

wire_code! {
    /// How a group controller authenticates, RFC 9838. Registry: "Transform Type 14 - Group
    /// Controller Authentication Method Transform IDs".
    pub struct GroupControllerAuth(u16) {
        IMPLICIT = 1 "Implicit",
        DIGITAL_SIGNATURE = 2 "Digital Signature",
    }
}

wire_code! {
    /// Identification types. Registry: "IKEv2 Identification Payload ID Types".
    pub struct IdType(u8) {
        ID_IPV4_ADDR = 1,
        ID_FQDN = 2,
        ID_RFC822_ADDR = 3,
        ID_IPV6_ADDR = 5,
        ID_DER_ASN1_DN = 9,
        ID_DER_ASN1_GN = 10,
        ID_KEY_ID = 11,
        /// RFC 4595.
        ID_FC_NAME = 12,
        /// RFC 7619.
        ID_NULL = 13,
    }
}

wire_code! {
    /// Certificate encodings. Registry: "IKEv2 Certificate Encodings".
    pub struct CertEncoding(u8) {
        PKCS7_WRAPPED_X509 = 1 "PKCS #7 wrapped X.509 certificate",
        PGP = 2 "PGP Certificate",
        DNS_SIGNED_KEY = 3 "DNS Signed Key",
        X509_SIGNATURE = 4 "X.509 Certificate - Signature",
        KERBEROS_TOKEN = 6 "Kerberos Token",
        CRL = 7 "Certificate Revocation List (CRL)",
        ARL = 8 "Authority Revocation List (ARL)",
        SPKI = 9 "SPKI Certificate",
        X509_ATTRIBUTE = 10 "X.509 Certificate - Attribute",
        /// Deprecated.
        RAW_RSA_KEY = 11 "Raw RSA Key",
        HASH_AND_URL_X509 = 12 "Hash and URL of X.509 certificate",
        HASH_AND_URL_BUNDLE = 13 "Hash and URL of X.509 bundle",
        /// RFC 4806.
        OCSP_CONTENT = 14 "OCSP Content",
        /// RFC 7670.
        RAW_PUBLIC_KEY = 15 "Raw Public Key",
    }
}

wire_code! {
    /// Authentication methods. Registry: "IKEv2 Authentication Method".
    pub struct AuthMethod(u8) {
        RSA_SIGNATURE = 1 "RSA Digital Signature",
        SHARED_KEY = 2 "Shared Key Message Integrity Code",
        DSS_SIGNATURE = 3 "DSS Digital Signature",
        /// RFC 4754.
        ECDSA_SHA256_P256 = 9 "ECDSA with SHA-256 on the P-256 curve",
        /// RFC 4754.
        ECDSA_SHA384_P384 = 10 "ECDSA with SHA-384 on the P-384 curve",
        /// RFC 4754.
        ECDSA_SHA512_P521 = 11 "ECDSA with SHA-512 on the P-521 curve",
        /// RFC 6467.
        GENERIC_SECURE_PASSWORD = 12 "Generic Secure Password Authentication Method",
        /// RFC 7619.
        NULL = 13 "NULL Authentication",
        /// RFC 7427.
        DIGITAL_SIGNATURE = 14 "Digital Signature",
    }
}

wire_code! {
    /// Hash algorithms of RFC 7427. Registry: "IKEv2 Hash Algorithms".
    pub struct HashAlgorithm(u16) {
        SHA1 = 1,
        SHA2_256 = 2,
        SHA2_384 = 3,
        SHA2_512 = 4,
        /// RFC 8420: the signature algorithm hashes by itself.
        IDENTITY = 5 "Identity",
        /// RFC 9385.
        STREEBOG_256 = 6,
        /// RFC 9385.
        STREEBOG_512 = 7,
    }
}

wire_code! {
    /// IP compression algorithms. Registry: "IKEv2 Notification IPCOMP Transform IDs".
    pub struct IpcompTransform(u8) {
        IPCOMP_OUI = 1,
        IPCOMP_DEFLATE = 2,
        IPCOMP_LZS = 3,
        IPCOMP_LZJH = 4,
    }
}

wire_code! {
    /// How a gateway is named in a redirection, RFC 5685. Registry: "IKEv2 Gateway Identity Types".
    pub struct GatewayIdentityType(u8) {
        IPV4 = 1 "IPv4 address of the VPN gateway",
        IPV6 = 2 "IPv6 address of the VPN gateway",
        FQDN = 3 "FQDN of the VPN gateway",
    }
}

wire_code! {
    /// Secure password methods, RFC 6467. Registry: "IKEv2 Secure Password Methods".
    pub struct SecurePasswordMethod(u16) {
        PACE = 1,
        AUGPAKE = 2 "AugPAKE",
        SECURE_PSK = 3 "Secure PSK Authentication",
    }
}

wire_code! {
    /// How a post-quantum preshared key is named, RFC 8784. Registry: "IKEv2 Post-quantum Preshared
    /// Key ID Types".
    pub struct PpkIdType(u8) {
        PPK_ID_OPAQUE = 1,
        PPK_ID_FIXED = 2,
    }
}

wire_code! {
    /// Robust header compression attributes, RFC 5857. Registry: "ROHC Attribute Types".
    pub struct RohcAttributeType(u16) {
        MAX_CID = 1,
        ROHC_PROFILE = 2,
        ROHC_INTEG = 3,
        ROHC_ICV_LEN = 4,
        MRRU = 5,
    }
}

wire_code! {
    /// Traffic selector types. Registry: "IKEv2 Traffic Selector Types".
    pub struct TsType(u8) {
        TS_IPV4_ADDR_RANGE = 7,
        TS_IPV6_ADDR_RANGE = 8,
        /// RFC 4595.
        TS_FC_ADDR_RANGE = 9,
        /// RFC 9478.
        TS_SECLABEL = 10,
    }
}

wire_code! {
    /// What a configuration payload does. Registry: "IKEv2 Configuration Payload CFG Types".
    pub struct ConfigType(u8) {
        CFG_REQUEST = 1,
        CFG_REPLY = 2,
        CFG_SET = 3,
        CFG_ACK = 4,
    }
}

wire_code! {
    /// Configuration attributes. Registry: "IKEv2 Configuration Payload Attribute Types", and the
    /// private ones that daemons send to VPN clients.
    pub struct ConfigAttributeType(u16) {
        INTERNAL_IP4_ADDRESS = 1,
        INTERNAL_IP4_NETMASK = 2,
        INTERNAL_IP4_DNS = 3,
        INTERNAL_IP4_NBNS = 4,
        INTERNAL_IP4_DHCP = 6,
        APPLICATION_VERSION = 7,
        INTERNAL_IP6_ADDRESS = 8,
        INTERNAL_IP6_DNS = 10,
        INTERNAL_IP6_DHCP = 12,
        INTERNAL_IP4_SUBNET = 13,
        SUPPORTED_ATTRIBUTES = 14,
        INTERNAL_IP6_SUBNET = 15,
        /// RFC 5026.
        MIP6_HOME_PREFIX = 16,
        /// RFC 5739.
        INTERNAL_IP6_LINK = 17,
        /// RFC 5739.
        INTERNAL_IP6_PREFIX = 18,
        /// 3GPP TS 24.302.
        HOME_AGENT_ADDRESS = 19,
        /// RFC 7651.
        P_CSCF_IP4_ADDRESS = 20,
        /// RFC 7651.
        P_CSCF_IP6_ADDRESS = 21,
        /// 3GPP TS 24.302.
        FTT_KAT = 22,
        /// 3GPP TS 29.139.
        EXTERNAL_SOURCE_IP4_NAT_INFO = 23,
        /// 3GPP TS 24.302.
        TIMEOUT_PERIOD_FOR_LIVENESS_CHECK = 24,
        /// RFC 8598.
        INTERNAL_DNS_DOMAIN = 25,
        /// RFC 8598.
        INTERNAL_DNSSEC_TA = 26,
        /// RFC 9464.
        ENCDNS_IP4 = 27,
        /// RFC 9464.
        ENCDNS_IP6 = 28,
        /// RFC 9464.
        ENCDNS_DIGEST_INFO = 29,
        /// Private, Windows.
        INTERNAL_IP4_SERVER = 23456,
        /// Private, Windows.
        INTERNAL_IP6_SERVER = 23457,
        /// Private, Cisco Unity.
        UNITY_BANNER = 28672,
        /// Private, Cisco Unity.
        UNITY_SAVE_PASSWD = 28673,
        /// Private, Cisco Unity.
        UNITY_DEF_DOMAIN = 28674,
        /// Private, Cisco Unity.
        UNITY_SPLITDNS_NAME = 28675,
        /// Private, Cisco Unity.
        UNITY_SPLIT_INCLUDE = 28676,
        /// Private, Cisco Unity.
        UNITY_NATT_PORT = 28677,
        /// Private, Cisco Unity.
        UNITY_LOCAL_LAN = 28678,
        /// Private, Cisco Unity.
        UNITY_PFS = 28679,
        /// Private, Cisco Unity.
        UNITY_FW_TYPE = 28680,
        /// Private, Cisco Unity.
        UNITY_BACKUP_SERVERS = 28681,
        /// Private, Cisco Unity.
        UNITY_DDNS_HOSTNAME = 28682,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_aead_appends_its_icv_and_nothing_else_does() {
        for &code in Encryption::KNOWN {
            let icv = code.icv_len().unwrap();
            assert_eq!(code.is_aead(), icv > 0, "{code}");
            assert!(
                code.iv_len().is_some() && code.block_len().is_some(),
                "{code}"
            );
        }
        assert_eq!(Encryption(10).iv_len(), None);
        assert_eq!(Encryption(36).icv_len(), None);
    }

    #[test]
    fn cbc_ciphers_have_an_iv_of_one_block() {
        for code in [
            Encryption::ENCR_3DES,
            Encryption::ENCR_AES_CBC,
            Encryption::ENCR_CAMELLIA_CBC,
        ] {
            assert_eq!(code.iv_len(), code.block_len(), "{code}");
        }
    }

    #[test]
    fn every_known_prf_and_key_exchange_has_its_length() {
        assert!(Prf::KNOWN.iter().all(|code| code.output_len().is_some()));
        for &code in KeyExchange::KNOWN {
            let len = code.public_len();
            assert_eq!(len.is_none(), code == KeyExchange::NONE, "{code}");
        }
        let kem = KeyExchange::ML_KEM_768.public_len().unwrap();
        assert_eq!((kem.initiator, kem.responder), (1184, 1088));
        let undefined: Vec<_> = Integrity::KNOWN
            .iter()
            .filter(|code| code.icv_len().is_none())
            .collect();
        assert_eq!(
            undefined,
            [&Integrity::AUTH_DES_MAC, &Integrity::AUTH_KPDK_MD5]
        );
    }

    #[test]
    fn an_icv_in_bits_ends_the_name_of_an_hmac() {
        for &code in Integrity::KNOWN {
            let name = code.name().unwrap();
            if let (true, Some(icv)) = (name.contains("HMAC"), code.icv_len()) {
                let bits = (icv * 8).to_string();
                assert!(name.ends_with(&bits), "{name} {bits}");
            }
        }
    }

    #[test]
    fn additional_key_exchanges_are_numbered_one_to_seven() {
        let numbers: Vec<_> = TransformType::KNOWN
            .iter()
            .filter_map(|code| code.additional_key_exchange())
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn short_names_drop_the_prefix() {
        assert_eq!(Encryption::ENCR_AES_CBC.short_name(), Some("AES_CBC"));
        assert_eq!(
            Integrity::AUTH_HMAC_SHA1_96.short_name(),
            Some("HMAC_SHA1_96")
        );
        assert_eq!(Encryption(1000).short_name(), None);
    }
}
