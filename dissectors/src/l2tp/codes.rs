//! L2TP code points. Registry: IANA "Layer Two Tunneling Protocol 'L2TP'", read 2026-11.

wire_code! {
    /// Control message types (RFC 2661 §3.2, RFC 3931 §3.1).
    pub struct MessageType(u16) {
        /// Start-Control-Connection-Request.
        SCCRQ = 1,
        /// Start-Control-Connection-Reply.
        SCCRP = 2,
        /// Start-Control-Connection-Connected.
        SCCCN = 3,
        /// Stop-Control-Connection-Notification.
        STOP_CCN = 4 "StopCCN",
        /// Keepalive of the control connection.
        HELLO = 6,
        /// Outgoing-Call-Request.
        OCRQ = 7,
        /// Outgoing-Call-Reply.
        OCRP = 8,
        /// Outgoing-Call-Connected.
        OCCN = 9,
        /// Incoming-Call-Request.
        ICRQ = 10,
        /// Incoming-Call-Reply.
        ICRP = 11,
        /// Incoming-Call-Connected.
        ICCN = 12,
        /// Call-Disconnect-Notify.
        CDN = 14,
        /// WAN-Error-Notify.
        WEN = 15,
        /// Set-Link-Info.
        SLI = 16,
        /// Modem-Status (RFC 3573).
        MDMST = 17,
        /// Service-Relay-Request (RFC 3817).
        SRRQ = 18,
        /// Service-Relay-Reply (RFC 3817).
        SRRP = 19,
        /// Explicit acknowledgement (RFC 3931 §4.2).
        ACK = 20,
        /// Failover-Session-Query (RFC 4951).
        FSQ = 21,
        /// Failover-Session-Response (RFC 4951).
        FSR = 22,
        /// Multicast-Session-Request (RFC 4045).
        MSRQ = 23,
        /// Multicast-Session-Response (RFC 4045).
        MSRP = 24,
        /// Multicast-Session-Establishment (RFC 4045).
        MSE = 25,
        /// Multicast-Session-Information (RFC 4045).
        MSI = 26,
        /// Multicast-Session-End-Notify (RFC 4045).
        MSEN = 27,
        /// Connect-Speed-Update-Notification (RFC 5515).
        CSUN = 28,
        /// Connect-Speed-Update-Request (RFC 5515).
        CSURQ = 29,
    }
}

wire_code! {
    /// Attribute types of vendor 0 (RFC 2661 §4.4, RFC 3931 §5.4).
    pub struct AvpType(u16) {
        MESSAGE_TYPE = 0 "Message Type",
        RESULT_CODE = 1 "Result Code",
        PROTOCOL_VERSION = 2 "Protocol Version",
        FRAMING_CAPABILITIES = 3 "Framing Capabilities",
        BEARER_CAPABILITIES = 4 "Bearer Capabilities",
        TIE_BREAKER = 5 "Tie Breaker",
        FIRMWARE_REVISION = 6 "Firmware Revision",
        HOST_NAME = 7 "Host Name",
        VENDOR_NAME = 8 "Vendor Name",
        ASSIGNED_TUNNEL_ID = 9 "Assigned Tunnel ID",
        RECEIVE_WINDOW_SIZE = 10 "Receive Window Size",
        CHALLENGE = 11 "Challenge",
        CAUSE_CODE = 12 "Q.931 Cause Code",
        CHALLENGE_RESPONSE = 13 "Challenge Response",
        ASSIGNED_SESSION_ID = 14 "Assigned Session ID",
        CALL_SERIAL_NUMBER = 15 "Call Serial Number",
        MINIMUM_BPS = 16 "Minimum BPS",
        MAXIMUM_BPS = 17 "Maximum BPS",
        BEARER_TYPE = 18 "Bearer Type",
        FRAMING_TYPE = 19 "Framing Type",
        CALLED_NUMBER = 21 "Called Number",
        CALLING_NUMBER = 22 "Calling Number",
        SUB_ADDRESS = 23 "Sub-Address",
        TX_CONNECT_SPEED_BPS = 24 "(Tx) Connect Speed",
        PHYSICAL_CHANNEL_ID = 25 "Physical Channel ID",
        INITIAL_RECEIVED_LCP_CONFREQ = 26 "Initial Received LCP CONFREQ",
        LAST_SENT_LCP_CONFREQ = 27 "Last Sent LCP CONFREQ",
        LAST_RECEIVED_LCP_CONFREQ = 28 "Last Received LCP CONFREQ",
        PROXY_AUTHEN_TYPE = 29 "Proxy Authen Type",
        PROXY_AUTHEN_NAME = 30 "Proxy Authen Name",
        PROXY_AUTHEN_CHALLENGE = 31 "Proxy Authen Challenge",
        PROXY_AUTHEN_ID = 32 "Proxy Authen ID",
        PROXY_AUTHEN_RESPONSE = 33 "Proxy Authen Response",
        CALL_ERRORS = 34 "Call Errors",
        ACCM = 35,
        RANDOM_VECTOR = 36 "Random Vector",
        PRIVATE_GROUP_ID = 37 "Private Group ID",
        RX_CONNECT_SPEED_BPS = 38 "Rx Connect Speed",
        SEQUENCING_REQUIRED = 39 "Sequencing Required",
        RX_MINIMUM_BPS = 40 "Rx Minimum BPS",
        RX_MAXIMUM_BPS = 41 "Rx Maximum BPS",
        SERVICE_CATEGORY = 42 "Service Category",
        SERVICE_NAME = 43 "Service Name",
        CALLING_SUB_ADDRESS = 44 "Calling Sub-Address",
        VPI_VCI_IDENTIFIER = 45 "VPI/VCI Identifier",
        PPP_DISCONNECT_CAUSE_CODE = 46 "PPP Disconnect Cause Code",
        CCDS = 47,
        SDS = 48,
        LCP_WANT_OPTIONS = 49 "LCP Want Options",
        LCP_ALLOW_OPTIONS = 50 "LCP Allow Options",
        LNS_LAST_SENT_LCP_CONFREQ = 51 "LNS Last Sent LCP Confreq",
        LNS_LAST_RECEIVED_LCP_CONFREQ = 52 "LNS Last Received LCP Confreq",
        MODEM_ON_HOLD_CAPABLE = 53 "Modem On-Hold Capable",
        MODEM_ON_HOLD_STATUS = 54 "Modem On-Hold Status",
        PPPOE_RELAY = 55 "PPPoE Relay",
        PPPOE_RELAY_RESPONSE_CAPABILITY = 56 "PPPoE Relay Response Capability",
        PPPOE_RELAY_FORWARD_CAPABILITY = 57 "PPPoE Relay Forward Capability",
        EXTENDED_VENDOR_ID = 58 "Extended Vendor ID",
        MESSAGE_DIGEST = 59 "Message Digest",
        ROUTER_ID = 60 "Router ID",
        ASSIGNED_CONTROL_CONNECTION_ID = 61 "Assigned Control Connection ID",
        PSEUDOWIRE_CAPABILITIES_LIST = 62 "Pseudowire Capabilities List",
        LOCAL_SESSION_ID = 63 "Local Session ID",
        REMOTE_SESSION_ID = 64 "Remote Session ID",
        ASSIGNED_COOKIE = 65 "Assigned Cookie",
        REMOTE_END_ID = 66 "Remote End ID",
        APPLICATION_CODE = 67 "Application Code",
        PSEUDOWIRE_TYPE = 68 "Pseudowire Type",
        L2_SPECIFIC_SUBLAYER = 69 "L2-Specific Sublayer",
        DATA_SEQUENCING = 70 "Data Sequencing",
        CIRCUIT_STATUS = 71 "Circuit Status",
        PREFERRED_LANGUAGE = 72 "Preferred Language",
        CONTROL_MESSAGE_AUTHENTICATION_NONCE = 73 "Control Message Authentication Nonce",
        TX_CONNECT_SPEED = 74 "Tx Connect Speed",
        RX_CONNECT_SPEED = 75 "Rx Connect Speed",
        FAILOVER_CAPABILITY = 76 "Failover Capability",
        TUNNEL_RECOVERY = 77 "Tunnel Recovery",
        SUGGESTED_CONTROL_SEQUENCE = 78 "Suggested Control Sequence",
        FAILOVER_SESSION_STATE = 79 "Failover Session State",
        MULTICAST_CAPABILITY = 80 "Multicast Capability",
        NEW_OUTGOING_SESSIONS = 81 "New Outgoing Sessions",
        NEW_OUTGOING_SESSIONS_ACKNOWLEDGEMENT = 82 "New Outgoing Sessions Acknowledgement",
        WITHDRAW_OUTGOING_SESSIONS = 83 "Withdraw Outgoing Sessions",
        MULTICAST_PACKETS_PRIORITY = 84 "Multicast Packets Priority",
        FRAME_RELAY_HEADER_LENGTH = 85 "Frame-Relay Header Length",
        ATM_MAXIMUM_CONCATENATED_CELLS = 86 "ATM Maximum Concatenated Cells",
        OAM_EMULATION_REQUIRED = 87 "OAM Emulation Required",
        ATM_ALARM_STATUS = 88 "ATM Alarm Status",
        ATTACHMENT_GROUP_IDENTIFIER = 89 "Attachment Group Identifier",
        LOCAL_END_IDENTIFIER = 90 "Local End Identifier",
        INTERFACE_MAXIMUM_TRANSMISSION_UNIT = 91 "Interface Maximum Transmission Unit",
        FCS_RETENTION = 92 "FCS Retention",
        TUNNEL_SWITCHING_AGGREGATOR_ID = 93 "Tunnel Switching Aggregator ID",
        MAXIMUM_RECEIVE_UNIT = 94 "Maximum Receive Unit",
        MAXIMUM_REASSEMBLED_RECEIVE_UNIT = 95 "Maximum Reassembled Receive Unit",
        VCCV_CAPABILITY = 96 "VCCV Capability",
        CONNECT_SPEED_UPDATE = 97 "Connect Speed Update",
        CONNECT_SPEED_UPDATE_ENABLE = 98 "Connect Speed Update Enable",
        TDM_PSEUDOWIRE = 99 "TDM Pseudowire",
        RTP = 100,
        PW_SWITCHING_POINT = 101 "PW Switching Point",
    }
}

wire_code! {
    /// Result codes of `StopCCN` (RFC 2661 §4.4.2, RFC 3931 §5.4.2).
    pub struct StopResult(u16) {
        GENERAL_REQUEST = 1 "General request to clear control connection",
        GENERAL_ERROR = 2 "General error, see error code",
        ALREADY_EXISTS = 3 "Control connection already exists",
        NOT_AUTHORIZED = 4 "Requester is not authorized to establish a control connection",
        VERSION_NOT_SUPPORTED = 5 "Protocol version not supported",
        SHUTTING_DOWN = 6 "Requester is being shut down",
        FSM_ERROR = 7 "Finite state machine error",
        MISMATCHING_CCDS = 8 "Control connection due to mismatching CCDS value",
    }
}

wire_code! {
    /// Result codes of CDN (RFC 2661 §4.4.2, RFC 3931 §5.4.2 and later).
    pub struct CallResult(u16) {
        LOST_CARRIER = 1 "Call disconnected due to loss of carrier",
        GENERAL_ERROR = 2 "Call disconnected for the reason in the error code",
        ADMINISTRATIVE = 3 "Call disconnected for administrative reasons",
        NO_FACILITIES_TEMPORARY = 4 "Appropriate facilities temporarily unavailable",
        NO_FACILITIES_PERMANENT = 5 "Appropriate facilities permanently unavailable",
        INVALID_DESTINATION = 6 "Invalid destination",
        NO_CARRIER = 7 "No carrier detected",
        BUSY = 8 "Busy signal detected",
        NO_DIAL_TONE = 9 "No dial tone",
        TIMEOUT = 10 "Call was not established within time allotted by LAC",
        NO_FRAMING = 11 "No appropriate framing detected",
        MISMATCHING_SDS = 12 "Disconnecting call due to mismatching SDS value",
        LOST_TIE_BREAKER = 13 "Session not established due to losing tie breaker",
        UNSUPPORTED_PW_TYPE = 14 "Session not established due to unsupported PW type",
        SEQUENCING_WITHOUT_SUBLAYER = 15 "Sequencing required without valid L2-Specific Sublayer",
        FSM_ERROR = 16 "Finite state machine error or timeout",
        FR_PVC_DELETED = 17 "FR PVC was deleted permanently",
        FR_PVC_INACTIVE = 18 "FR PVC has been inactive for an extended period",
        MISMATCHED_FR_HEADER = 19 "Mismatched FR header length",
        HDLC_DELETED = 20 "HDLC link was deleted permanently",
        HDLC_INACTIVE = 21 "HDLC link has been inactive for an extended period",
        NO_OAM_EMULATION = 22 "Other LCCE cannot support the OAM cell emulation",
        MISMATCHING_MTU = 23 "Mismatching interface MTU",
        NO_FORWARDER = 24 "Attempt to connect to non-existent forwarder",
        UNAUTHORIZED_FORWARDER = 25 "Attempt to connect to unauthorized forwarder",
        LOOP_DETECTED = 26 "Loop detected",
        BOUND_TO_OTHER_PE = 27 "Attachment circuit bound to different PE",
        BOUND_TO_OTHER_CIRCUIT = 28 "Attachment circuit bound to different remote attachment circuit",
        TDM_PARAMETERS = 30 "Refused because of TDM PW parameters, see error code",
        SEQUENCING_NOT_SUPPORTED = 31 "Sequencing not supported",
    }
}

wire_code! {
    /// General error codes, beside result code 2 (RFC 2661 §4.4.2).
    pub struct ErrorCode(u16) {
        NO_GENERAL_ERROR = 0 "No general error",
        NO_CONTROL_CONNECTION = 1 "No control connection exists yet for this pair",
        WRONG_LENGTH = 2 "Length is wrong",
        OUT_OF_RANGE = 3 "A field value was out of range or a reserved field was non-zero",
        INSUFFICIENT_RESOURCES = 4 "Insufficient resources to handle this operation now",
        INVALID_SESSION_ID = 5 "Invalid session ID",
        VENDOR_SPECIFIC = 6 "A generic vendor-specific error occurred",
        TRY_ANOTHER = 7 "Try another",
        UNKNOWN_MANDATORY_AVP = 8 "Unknown AVP with the M bit set",
        TRY_ANOTHER_DIRECTED = 9 "Try another directed",
        NEXT_HOP_UNREACHABLE = 10 "Next hop unreachable",
        NEXT_HOP_BUSY = 11 "Next hop busy",
        TSA_BUSY = 12 "TSA busy",
    }
}

wire_code! {
    /// Proxy Authen Type values (RFC 2661 §4.4.5).
    pub struct ProxyAuthenType(u16) {
        TEXTUAL = 1 "Textual username/password exchange",
        PPP_CHAP = 2 "PPP CHAP",
        PPP_PAP = 3 "PPP PAP",
        NONE = 4 "No Authentication",
        MS_CHAP_V1 = 5 "Microsoft CHAP Version 1",
        RESERVED = 6 "Reserved",
        EAP = 7,
        MS_CHAP_V2 = 8 "Microsoft CHAP Version 2",
    }
}

wire_code! {
    /// Disconnect codes of the PPP Disconnect Cause Code attribute (RFC 3145 §3).
    pub struct PppDisconnectCode(u16) {
        NO_INFORMATION = 0 "No information available",
        ADMINISTRATIVE = 1 "Administrative disconnect",
        LCP_RENEGOTIATION_DISABLED = 2 "Link Control Protocol renegotiation at LNS disabled",
        NORMAL = 3 "Normal disconnection, LCP Terminate-Request sent",
        COMPULSORY_ENCRYPTION_REFUSED = 4 "Compulsory encryption required by a PPP peer was refused by the other",
        LCP_TIMEOUT = 5 "FSM timeout error of LCP",
        LCP_NO_RECOGNIZABLE_PACKETS = 6 "No recognizable LCP packets were received",
        LCP_LOOPBACK = 7 "LCP failure: Magic Number error, link possibly looped back",
        ECHO_TIMEOUT = 8 "LCP link failure: Echo Request timeout",
        ENDPOINT_DISCRIMINATOR = 9 "Peer has unexpected Endpoint-Discriminator for existing bundle",
        MRRU = 10 "Peer has unexpected MRRU for existing bundle",
        SHORT_SEQUENCE = 11 "Peer has unexpected Short-Sequence-Number option for existing bundle",
        CALLBACK_REFUSED = 12 "Compulsory callback required by a PPP peer was refused by the other",
        AUTH_TIMEOUT = 13 "FSM timeout error of authentication protocol",
        AUTH_UNEXPECTED_NAME = 14 "Peer has unexpected authenticated name for existing bundle",
        AUTH_REFUSED = 15 "Authentication protocol rejected by peer",
        AUTH_FAILED = 16 "Authentication failure",
        NCP_TIMEOUT = 17 "FSM timeout error of a network control protocol",
        NCP_NONE = 18 "No network control protocol available",
        NCP_NO_ADDRESS = 19 "Network control protocol: no acceptable address",
        NCP_ADDRESS_NOT_PERMITTED = 20 "Network control protocol: user not permitted to use any address",
    }
}
