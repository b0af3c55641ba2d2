//! PPP code points. Registry: IANA "Point-to-Point (PPP) Protocol Field Assignments", read
//! 2026-11.

wire_code! {
    /// PPP protocol numbers ("PPP DLL Protocol Numbers").
    pub struct Protocol(u16) {
        PADDING = 0x0001 "Padding Protocol",
        IPV4 = 0x0021 "Internet Protocol version 4",
        OSI = 0x0023 "OSI Network Layer",
        DECNET = 0x0027 "DECnet Phase IV",
        APPLETALK = 0x0029 "Appletalk",
        IPX = 0x002b "Novell IPX",
        VJ_COMPRESSED = 0x002d "Van Jacobson Compressed TCP/IP",
        VJ_UNCOMPRESSED = 0x002f "Van Jacobson Uncompressed TCP/IP",
        BRIDGING = 0x0031 "Bridging PDU",
        MULTILINK = 0x003d "PPP Multilink",
        NETBIOS = 0x003f "NETBIOS Framing",
        ENCRYPTION = 0x0053 "Encryption",
        INDIVIDUAL_ENCRYPTION = 0x0055 "Individual Link Encryption",
        IPV6 = 0x0057 "Internet Protocol version 6",
        PPP_MUX = 0x0059 "PPP Muxing",
        /// RFC 1962; MPPE's ciphertext too (RFC 3078).
        COMPRESSED = 0x00fd "Compressed datagram",
        CISCO_DISCOVERY = 0x0207 "Cisco Discovery Protocol",
        MPLS_UNICAST = 0x0281 "MPLS Unicast",
        MPLS_MULTICAST = 0x0283 "MPLS Multicast",
        IPCP = 0x8021 "Internet Protocol Control Protocol",
        OSINLCP = 0x8023 "OSI Network Layer Control Protocol",
        ATCP = 0x8029 "Appletalk Control Protocol",
        IPXCP = 0x802b "Novell IPX Control Protocol",
        BCP = 0x8031 "Bridging NCP",
        NBFCP = 0x803f "NETBIOS Framing Control Protocol",
        ECP = 0x8053 "Encryption Control Protocol",
        INDIVIDUAL_ECP = 0x8055 "Individual Link Encryption Control Protocol",
        IPV6CP = 0x8057 "IPv6 Control Protocol",
        PPP_MUXCP = 0x8059 "PPP Muxing Control Protocol",
        INDIVIDUAL_CCP = 0x80fb "Single link compression in multilink control",
        CCP = 0x80fd "Compression Control Protocol",
        CDPCP = 0x8207 "Cisco Discovery Protocol Control",
        MPLSCP = 0x8281 "MPLS Control Protocol",
        LCP = 0xc021 "Link Control Protocol",
        PAP = 0xc023 "Password Authentication Protocol",
        LQR = 0xc025 "Link Quality Report",
        SPAP = 0xc027 "Shiva Password Authentication Protocol",
        CBCP = 0xc029 "Callback Control Protocol",
        BACP = 0xc02b "Bandwidth Allocation Control Protocol",
        BAP = 0xc02d "Bandwidth Allocation Protocol",
        CONTAINER = 0xc081 "Container Control Protocol",
        CHAP = 0xc223 "Challenge Handshake Authentication Protocol",
        RSA = 0xc225 "RSA Authentication Protocol",
        EAP = 0xc227 "Extensible Authentication Protocol",
    }
}

wire_code! {
    /// Codes of LCP and of the network control protocols ("PPP LCP and IPCP Codes").
    pub struct Code(u8) {
        VENDOR_SPECIFIC = 0 "Vendor-Specific",
        CONFIGURE_REQUEST = 1 "Configure-Request",
        CONFIGURE_ACK = 2 "Configure-Ack",
        CONFIGURE_NAK = 3 "Configure-Nak",
        CONFIGURE_REJECT = 4 "Configure-Reject",
        TERMINATE_REQUEST = 5 "Terminate-Request",
        TERMINATE_ACK = 6 "Terminate-Ack",
        CODE_REJECT = 7 "Code-Reject",
        PROTOCOL_REJECT = 8 "Protocol-Reject",
        ECHO_REQUEST = 9 "Echo-Request",
        ECHO_REPLY = 10 "Echo-Reply",
        DISCARD_REQUEST = 11 "Discard-Request",
        IDENTIFICATION = 12 "Identification",
        TIME_REMAINING = 13 "Time-Remaining",
        RESET_REQUEST = 14 "Reset-Request",
        RESET_ACK = 15 "Reset-Ack",
    }
}

wire_code! {
    /// PAP codes (RFC 1334 §2.2).
    pub struct PapCode(u8) {
        AUTHENTICATE_REQUEST = 1 "Authenticate-Request",
        AUTHENTICATE_ACK = 2 "Authenticate-Ack",
        AUTHENTICATE_NAK = 3 "Authenticate-Nak",
    }
}

wire_code! {
    /// CHAP codes (RFC 1994 §4); 5 to 7 are Microsoft's (RFC 2433, RFC 2759).
    pub struct ChapCode(u8) {
        CHALLENGE = 1 "Challenge",
        RESPONSE = 2 "Response",
        SUCCESS = 3 "Success",
        FAILURE = 4 "Failure",
        CHANGE_PASSWORD_1 = 5 "Change-Password 1",
        CHANGE_PASSWORD_2 = 6 "Change-Password 2",
        CHANGE_PASSWORD_3 = 7 "Change-Password",
    }
}

wire_code! {
    /// CHAP algorithms ("PPP Authentication Algorithms").
    pub struct ChapAlgorithm(u8) {
        MD5 = 5 "CHAP with MD5",
        SHA1 = 6 "SHA-1",
        SHA256 = 7 "CHAP with SHA-256",
        SHA3_256 = 8 "CHAP with SHA3-256",
        MS_CHAP = 0x80 "MS-CHAP",
        MS_CHAP_V2 = 0x81 "MS-CHAP-2",
    }
}

wire_code! {
    /// LCP configuration options ("PPP LCP Configuration Options").
    pub struct LcpOption(u8) {
        VENDOR_SPECIFIC = 0 "Vendor Specific",
        MRU = 1 "Maximum-Receive-Unit",
        ACCM = 2 "Async-Control-Character-Map",
        AUTHENTICATION_PROTOCOL = 3 "Authentication-Protocol",
        QUALITY_PROTOCOL = 4 "Quality-Protocol",
        MAGIC_NUMBER = 5 "Magic-Number",
        RESERVED = 6 "Reserved",
        PROTOCOL_FIELD_COMPRESSION = 7 "Protocol-Field-Compression",
        ADDRESS_CONTROL_FIELD_COMPRESSION = 8 "Address-and-Control-Field-Compression",
        FCS_ALTERNATIVES = 9 "FCS-Alternatives",
        SELF_DESCRIBING_PAD = 10 "Self-Describing-Pad",
        NUMBERED_MODE = 11 "Numbered-Mode",
        MULTI_LINK_PROCEDURE = 12 "Multi-Link-Procedure",
        CALLBACK = 13 "Callback",
        CONNECT_TIME = 14 "Connect-Time",
        COMPOUND_FRAMES = 15 "Compound-Frames",
        NOMINAL_DATA_ENCAPSULATION = 16 "Nominal-Data-Encapsulation",
        MULTILINK_MRRU = 17 "Multilink-MRRU",
        MULTILINK_SHORT_SEQUENCE = 18 "Multilink-Short-Sequence-Number-Header",
        ENDPOINT_DISCRIMINATOR = 19 "Multilink-Endpoint-Discriminator",
        PROPRIETARY = 20 "Proprietary",
        DCE_IDENTIFIER = 21 "DCE-Identifier",
        MULTI_LINK_PLUS = 22 "Multi-Link-Plus-Procedure",
        LINK_DISCRIMINATOR = 23 "Link Discriminator for BACP",
        LCP_AUTHENTICATION = 24 "LCP-Authentication-Option",
        COBS = 25 "Consistent Overhead Byte Stuffing",
        PREFIX_ELISION = 26 "Prefix elision",
        MULTILINK_HEADER_FORMAT = 27 "Multilink header format",
        INTERNATIONALIZATION = 28 "Internationalization",
        SDL_ON_SONET = 29 "Simple Data Link on SONET/SDH",
        PPP_MUXING = 30 "PPP Muxing",
    }
}

wire_code! {
    /// IPCP configuration options ("PPP IPCP Configuration Option Types").
    pub struct IpcpOption(u8) {
        IP_ADDRESSES = 1 "IP-Addresses",
        IP_COMPRESSION_PROTOCOL = 2 "IP-Compression-Protocol",
        IP_ADDRESS = 3 "IP-Address",
        MOBILE_IPV4 = 4 "Mobile-IPv4",
        PRIMARY_DNS = 129 "Primary DNS Server Address",
        PRIMARY_NBNS = 130 "Primary NBNS Server Address",
        SECONDARY_DNS = 131 "Secondary DNS Server Address",
        SECONDARY_NBNS = 132 "Secondary NBNS Server Address",
    }
}

wire_code! {
    /// IPV6CP configuration options (`IPv6CP Configuration Options`).
    pub struct Ipv6cpOption(u8) {
        INTERFACE_IDENTIFIER = 1 "Interface-Identifier",
        IPV6_COMPRESSION_PROTOCOL = 2 "IPv6-Compression-Protocol",
    }
}

wire_code! {
    /// CCP configuration options ("PPP CCP Configuration Option Types").
    pub struct CcpOption(u8) {
        OUI = 0,
        PREDICTOR_1 = 1 "Predictor type 1",
        PREDICTOR_2 = 2 "Predictor type 2",
        PUDDLE_JUMPER = 3 "Puddle Jumper",
        HP_PPC = 16 "Hewlett-Packard PPC",
        STAC_LZS = 17 "Stac Electronics LZS",
        /// RFC 2118 and RFC 3078.
        MPPE = 18 "Microsoft PPC",
        GANDALF_FZA = 19 "Gandalf FZA",
        V42_BIS = 20 "V.42bis compression",
        BSD = 21 "BSD Compress",
        LZS_DCP = 23 "LZS-DCP",
        MAGNALINK = 24 "MVRCA (Magnalink)",
        DEFLATE = 26 "Deflate",
        V44_LZJH = 27 "V.44/X3.102",
    }
}

wire_code! {
    /// Errors in an MS-CHAP Failure, the number after `E=` (RFC 2433 §10, RFC 2759 §6).
    pub struct MsChapError(u32) {
        RESTRICTED_LOGON_HOURS = 646 "ERROR_RESTRICTED_LOGON_HOURS",
        ACCT_DISABLED = 647 "ERROR_ACCT_DISABLED",
        PASSWD_EXPIRED = 648 "ERROR_PASSWD_EXPIRED",
        NO_DIALIN_PERMISSION = 649 "ERROR_NO_DIALIN_PERMISSION",
        AUTHENTICATION_FAILURE = 691 "ERROR_AUTHENTICATION_FAILURE",
        CHANGING_PASSWORD = 709 "ERROR_CHANGING_PASSWORD",
    }
}

impl Protocol {
    /// Whether its packets have the code, identifier and length of LCP (RFC 1661 §5): the
    /// control protocols and the authentication protocols.
    pub const fn has_packets(self) -> bool {
        match self {
            Self::LQR | Self::CONTAINER => false,
            Self(number) => number >= 0x8000,
        }
    }

    /// Whether it is LCP or a network control protocol, so that [`Code`] names its codes and
    /// Configure packets hold options.
    pub const fn negotiates(self) -> bool {
        matches!(self, Self::LCP | Self::BACP | Self(0x8000..=0xbfff))
    }

    /// Whether it authenticates the peer.
    pub const fn authenticates(self) -> bool {
        matches!(
            self,
            Self::PAP | Self::CHAP | Self::EAP | Self::SPAP | Self::RSA
        )
    }

    /// The name of a code in this protocol.
    pub const fn code_name(self, code: u8) -> Option<&'static str> {
        match self {
            Self::PAP => PapCode(code).name(),
            Self::CHAP => ChapCode(code).name(),
            Self::EAP => match code {
                1 => Some("Request"),
                2 => Some("Response"),
                3 => Some("Success"),
                4 => Some("Failure"),
                5 => Some("Initiate"),
                6 => Some("Finish"),
                _ => None,
            },
            protocol if protocol.negotiates() => Code(code).name(),
            _ => None,
        }
    }
}
