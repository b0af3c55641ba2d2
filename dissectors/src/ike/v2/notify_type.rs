//! Notify message types.

wire_code! {
    /// Notify message types. Registries: "IKEv2 Notify Message Error Types" and "IKEv2 Notify Message
    /// Status Types", read 2026-11, and the private numbers that are met in practice. What a private
    /// number means depends on who sent it; the name here is that of the sender seen most.
    pub struct NotifyType(u16) {
        UNSUPPORTED_CRITICAL_PAYLOAD = 1,
        INVALID_IKE_SPI = 4,
        INVALID_MAJOR_VERSION = 5,
        INVALID_SYNTAX = 7,
        INVALID_MESSAGE_ID = 9,
        INVALID_SPI = 11,
        NO_PROPOSAL_CHOSEN = 14,
        INVALID_KE_PAYLOAD = 17,
        AUTHENTICATION_FAILED = 24,
        SINGLE_PAIR_REQUIRED = 34,
        NO_ADDITIONAL_SAS = 35,
        INTERNAL_ADDRESS_FAILURE = 36,
        FAILED_CP_REQUIRED = 37,
        TS_UNACCEPTABLE = 38,
        INVALID_SELECTORS = 39,
        /// RFC 4555.
        UNACCEPTABLE_ADDRESSES = 40,
        /// RFC 4555.
        UNEXPECTED_NAT_DETECTED = 41,
        /// RFC 5026.
        USE_ASSIGNED_HOA = 42 "USE_ASSIGNED_HoA",
        TEMPORARY_FAILURE = 43,
        CHILD_SA_NOT_FOUND = 44,
        /// RFC 9838.
        INVALID_GROUP_ID = 45,
        /// RFC 9838.
        AUTHORIZATION_FAILED = 46,
        /// RFC 9370.
        STATE_NOT_FOUND = 47,
        /// RFC 9611.
        TS_MAX_QUEUE = 48,
        /// RFC 9838.
        REGISTRATION_FAILED = 49,

        /// Private, 3GPP TS 24.302. strongSwan's mediation extension has `ME_CONNECT_FAILED` here.
        PDN_CONNECTION_REJECTION = 8192,
        /// Private, 3GPP TS 24.302.
        MAX_CONNECTION_REACHED = 8193,
        /// Private, 3GPP TS 24.302.
        SEMANTIC_ERROR_IN_THE_TFT_OPERATION = 8241,
        /// Private, 3GPP TS 24.302.
        SYNTACTICAL_ERROR_IN_THE_TFT_OPERATION = 8242,
        /// Private, 3GPP TS 24.302.
        SEMANTIC_ERRORS_IN_PACKET_FILTERS = 8244,
        /// Private, 3GPP TS 24.302.
        SYNTACTICAL_ERRORS_IN_PACKET_FILTERS = 8245,
        /// Private, 3GPP TS 24.302.
        NON_3GPP_ACCESS_TO_EPC_NOT_ALLOWED = 9000,
        /// Private, 3GPP TS 24.302.
        USER_UNKNOWN = 9001,
        /// Private, 3GPP TS 24.302.
        NO_APN_SUBSCRIPTION = 9002,
        /// Private, 3GPP TS 24.302.
        AUTHORIZATION_REJECTED = 9003,
        /// Private, 3GPP TS 24.302.
        ILLEGAL_ME = 9006,
        /// Private, 3GPP TS 24.302.
        NETWORK_FAILURE = 10500,
        /// Private, 3GPP TS 24.302.
        RAT_TYPE_NOT_ALLOWED = 11001,
        /// Private, 3GPP TS 24.302.
        IMEI_NOT_ACCEPTED = 11005,
        /// Private, 3GPP TS 24.302.
        PLMN_NOT_ALLOWED = 11011,
        /// Private, 3GPP TS 24.302.
        UNAUTHENTICATED_EMERGENCY_NOT_SUPPORTED = 11055,
        /// Private, Windows: carries a Win32 error code.
        MS_NOTIFY_STATUS = 12345,

        INITIAL_CONTACT = 16384,
        SET_WINDOW_SIZE = 16385,
        ADDITIONAL_TS_POSSIBLE = 16386,
        IPCOMP_SUPPORTED = 16387,
        NAT_DETECTION_SOURCE_IP = 16388,
        NAT_DETECTION_DESTINATION_IP = 16389,
        COOKIE = 16390,
        USE_TRANSPORT_MODE = 16391,
        HTTP_CERT_LOOKUP_SUPPORTED = 16392,
        REKEY_SA = 16393,
        ESP_TFC_PADDING_NOT_SUPPORTED = 16394,
        NON_FIRST_FRAGMENTS_ALSO = 16395,
        /// RFC 4555.
        MOBIKE_SUPPORTED = 16396,
        /// RFC 4555.
        ADDITIONAL_IP4_ADDRESS = 16397,
        /// RFC 4555.
        ADDITIONAL_IP6_ADDRESS = 16398,
        /// RFC 4555.
        NO_ADDITIONAL_ADDRESSES = 16399,
        /// RFC 4555.
        UPDATE_SA_ADDRESSES = 16400,
        /// RFC 4555.
        COOKIE2 = 16401,
        /// RFC 4555.
        NO_NATS_ALLOWED = 16402,
        /// RFC 4478.
        AUTH_LIFETIME = 16403,
        /// RFC 4739.
        MULTIPLE_AUTH_SUPPORTED = 16404,
        /// RFC 4739.
        ANOTHER_AUTH_FOLLOWS = 16405,
        /// RFC 5685.
        REDIRECT_SUPPORTED = 16406,
        /// RFC 5685.
        REDIRECT = 16407,
        /// RFC 5685.
        REDIRECTED_FROM = 16408,
        /// RFC 5723.
        TICKET_LT_OPAQUE = 16409,
        /// RFC 5723.
        TICKET_REQUEST = 16410,
        /// RFC 5723.
        TICKET_ACK = 16411,
        /// RFC 5723.
        TICKET_NACK = 16412,
        /// RFC 5723.
        TICKET_OPAQUE = 16413,
        /// RFC 5739.
        LINK_ID = 16414,
        /// RFC 5840.
        USE_WESP_MODE = 16415,
        /// RFC 5857.
        ROHC_SUPPORTED = 16416,
        /// RFC 5998.
        EAP_ONLY_AUTHENTICATION = 16417,
        /// RFC 6023.
        CHILDLESS_IKEV2_SUPPORTED = 16418,
        /// RFC 6290.
        QUICK_CRASH_DETECTION = 16419,
        /// RFC 6311.
        IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420,
        /// RFC 6311.
        IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED = 16421,
        /// RFC 6311.
        IKEV2_MESSAGE_ID_SYNC = 16422,
        /// RFC 6311.
        IPSEC_REPLAY_COUNTER_SYNC = 16423,
        /// RFC 6467.
        SECURE_PASSWORD_METHODS = 16424,
        /// RFC 6631.
        PSK_PERSIST = 16425,
        /// RFC 6631.
        PSK_CONFIRM = 16426,
        /// RFC 6867.
        ERX_SUPPORTED = 16427,
        /// 3GPP TS 24.303.
        IFOM_CAPABILITY = 16428,
        /// RFC 9838.
        GROUP_SENDER = 16429,
        /// RFC 7383.
        IKEV2_FRAGMENTATION_SUPPORTED = 16430,
        /// RFC 7427.
        SIGNATURE_HASH_ALGORITHMS = 16431,
        /// RFC 7791.
        CLONE_IKE_SA_SUPPORTED = 16432,
        /// RFC 7791.
        CLONE_IKE_SA = 16433,
        /// RFC 8019.
        PUZZLE = 16434,
        /// RFC 8784.
        USE_PPK = 16435,
        /// RFC 8784.
        PPK_IDENTITY = 16436,
        /// RFC 8784.
        NO_PPK_AUTH = 16437,
        /// RFC 9242.
        INTERMEDIATE_EXCHANGE_SUPPORTED = 16438,
        /// RFC 8983.
        IP4_ALLOWED = 16439,
        /// RFC 8983.
        IP6_ALLOWED = 16440,
        /// RFC 9370.
        ADDITIONAL_KEY_EXCHANGE = 16441,
        /// RFC 9347.
        USE_AGGFRAG = 16442,
        /// RFC 9593.
        SUPPORTED_AUTH_METHODS = 16443,
        /// RFC 9611.
        SA_RESOURCE_INFO = 16444,
        /// RFC 9867.
        USE_PPK_INT = 16445,
        /// RFC 9867.
        PPK_IDENTITY_KEY = 16446,
        /// draft-ietf-ipsecme-ikev2-downgrade-prevention.
        IKE_SA_INIT_FULL_TRANSCRIPT_AUTH = 16447,

        /// Private, libreswan.
        NULL_AUTH = 40960,
        /// Private, strongSwan.
        USE_BEET_MODE = 40961,
        /// Private, strongSwan's mediation extension.
        ME_MEDIATION = 40962,
        /// Private, strongSwan's mediation extension.
        ME_ENDPOINT = 40963,
        /// Private, strongSwan's mediation extension.
        ME_CALLBACK = 40964,
        /// Private, strongSwan's mediation extension.
        ME_CONNECTID = 40965,
        /// Private, strongSwan's mediation extension.
        ME_CONNECTKEY = 40966,
        /// Private, strongSwan's mediation extension.
        ME_CONNECTAUTH = 40967,
        /// Private, strongSwan's mediation extension.
        ME_RESPONSE = 40968,
        /// Private, strongSwan: a RADIUS attribute.
        RADIUS_ATTRIBUTE = 40969,
        /// Private, 3GPP TS 24.302.
        BACKOFF_TIMER = 41041,
        /// Private, 3GPP TS 24.302.
        DEVICE_IDENTITY = 41101,
    }
}

impl NotifyType {
    /// An error: 0 to 16383 (RFC 7296 §3.10.1).
    pub const fn is_error(self) -> bool {
        self.0 < 16384
    }

    /// A status: 16384 to 65535 (RFC 7296 §3.10.1).
    pub const fn is_status(self) -> bool {
        !self.is_error()
    }

    /// A number left to private use: 8192 to 16383 for errors, 40960 to 65535 for statuses
    /// (RFC 7296 §6).
    pub const fn is_private_use(self) -> bool {
        matches!(self.0, 8192..=16383 | 40960..=65535)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_type_is_either_error_or_status() {
        let errors = NotifyType::KNOWN.iter().filter(|t| t.is_error()).count();
        let statuses = NotifyType::KNOWN.iter().filter(|t| t.is_status()).count();
        assert_eq!(errors + statuses, NotifyType::KNOWN.len());
        // The registered errors and the private ones; the statuses likewise.
        assert_eq!(errors, 25 + 17);
        assert_eq!(statuses, 64 + 12);
        assert!(NotifyType::MS_NOTIFY_STATUS.is_error());
        assert!(NotifyType::INITIAL_CONTACT.is_status());
    }

    #[test]
    fn private_numbers_are_those_that_no_registry_holds() {
        let private: Vec<u16> = NotifyType::KNOWN
            .iter()
            .filter(|t| t.is_private_use())
            .map(|t| t.0)
            .collect();
        assert_eq!(private.first(), Some(&8192));
        assert_eq!(private.last(), Some(&41101));
        assert_eq!(private.len(), 17 + 12);
        assert!(!NotifyType::REGISTRATION_FAILED.is_private_use());
        assert!(!NotifyType::PPK_IDENTITY_KEY.is_private_use());
    }

    #[test]
    fn numbers_ascend_so_none_is_listed_twice() {
        assert!(NotifyType::KNOWN.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
