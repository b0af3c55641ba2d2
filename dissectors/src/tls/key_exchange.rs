//! What a cipher suite does, and the key exchange messages of TLS 1.2 and before (RFC 5246
//! §7.4.3, RFC 8422 §5.4, RFC 4279 §2).

use super::codes::{CurveType, Version};
use super::vector::{opaque8, opaque16};
use super::{CipherSuite, NamedGroup, SignatureScheme};
use crate::error::{PResult, be_u8, be_u16, fault, located};
use crate::{Octets, ParseError, Reason};

/// How a suite agrees on keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyExchange {
    /// Left to extensions: TLS 1.3.
    Extensions,
    /// The client encrypts to the server's RSA key; no ServerKeyExchange.
    Rsa,
    /// Finite-field Diffie-Hellman with fresh keys.
    Dhe,
    /// Finite-field Diffie-Hellman with the certificate's key.
    Dh,
    /// Elliptic curves with fresh keys.
    Ecdhe,
    /// Elliptic curves with the certificate's key.
    Ecdh,
    /// A pre-shared key alone.
    Psk,
    /// A pre-shared key, and something else named by the suite.
    PskWith(PskPartner),
    /// A password (RFC 5054).
    Srp,
    /// None of these, or an unknown suite.
    Other,
}

/// What is used together with a pre-shared key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PskPartner {
    /// RSA encryption.
    Rsa,
    /// Finite-field Diffie-Hellman.
    Dhe,
    /// Elliptic curves.
    Ecdhe,
}

/// How a suite proves who the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Authentication {
    /// Left to extensions: TLS 1.3.
    Extensions,
    /// A certificate with an RSA key.
    Rsa,
    /// A certificate with an elliptic-curve key.
    Ecdsa,
    /// A certificate with a DSA key.
    Dss,
    /// A pre-shared key or password.
    Psk,
    /// Not at all.
    Anonymous,
    /// None of these, or an unknown suite.
    Other,
}

impl CipherSuite {
    /// How it agrees on keys, read off its name.
    pub fn key_exchange(self) -> KeyExchange {
        let Some(name) = self.name() else {
            return KeyExchange::Other;
        };
        let Some((exchange, _)) = name.split_once("_WITH_") else {
            let is_tls13 = matches!(self.0, 0x1301..=0x13ff | 0x00c6 | 0x00c7)
                || matches!(self.0, 0xc0b4 | 0xc0b5 | 0xc103..=0xc106);
            return if is_tls13 {
                KeyExchange::Extensions
            } else {
                KeyExchange::Other
            };
        };
        if matches!(self.0, 0xc103..=0xc106) {
            return KeyExchange::Extensions;
        }
        match exchange {
            "TLS_ECDHE_PSK" => KeyExchange::PskWith(PskPartner::Ecdhe),
            "TLS_DHE_PSK" | "TLS_PSK_DHE" => KeyExchange::PskWith(PskPartner::Dhe),
            "TLS_RSA_PSK" => KeyExchange::PskWith(PskPartner::Rsa),
            "TLS_PSK" => KeyExchange::Psk,
            _ if exchange.starts_with("TLS_ECDHE_") => KeyExchange::Ecdhe,
            "TLS_ECDH_anon" => KeyExchange::Ecdhe,
            _ if exchange.starts_with("TLS_ECDH_") => KeyExchange::Ecdh,
            _ if exchange.starts_with("TLS_DHE_") => KeyExchange::Dhe,
            _ if exchange.starts_with("TLS_DH_anon") => KeyExchange::Dhe,
            _ if exchange.starts_with("TLS_DH_") => KeyExchange::Dh,
            _ if exchange.starts_with("TLS_SRP_") => KeyExchange::Srp,
            _ if exchange.starts_with("TLS_RSA") => KeyExchange::Rsa,
            _ => KeyExchange::Other,
        }
    }

    /// How it proves who the server is, read off its name.
    pub fn authentication(self) -> Authentication {
        if self.key_exchange() == KeyExchange::Extensions {
            return Authentication::Extensions;
        }
        let exchange = self
            .name()
            .and_then(|name| name.split_once("_WITH_"))
            .map_or("", |(exchange, _)| exchange);
        let has = |part: &str| exchange.split('_').any(|p| p == part);
        if has("anon") {
            Authentication::Anonymous
        } else if has("ECDSA") {
            Authentication::Ecdsa
        } else if has("DSS") {
            Authentication::Dss
        } else if has("RSA") {
            Authentication::Rsa
        } else if has("PSK") || has("SRP") {
            Authentication::Psk
        } else {
            Authentication::Other
        }
    }

    /// Whether its ServerKeyExchange has a form that [`ServerKeyExchange::parse`] reads.
    pub fn has_known_key_exchange(self) -> bool {
        match self.key_exchange() {
            KeyExchange::Dhe | KeyExchange::Ecdhe | KeyExchange::Psk | KeyExchange::PskWith(_) => {
                true
            }
            KeyExchange::Rsa => self.name().is_some_and(|name| name.contains("_EXPORT")),
            _ => false,
        }
    }

    /// Whether only TLS 1.3 knows it.
    pub fn is_tls13(self) -> bool {
        self.key_exchange() == KeyExchange::Extensions
    }
}

/// ServerKeyExchange of TLS 1.2 and before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerKeyExchange<'a> {
    /// With a pre-shared key: what helps the client to choose one.
    pub psk_hint: Option<Octets<'a>>,
    /// What the server sends to agree on keys.
    pub parameters: Parameters<'a>,
    /// With TLS 1.2 and where it is signed: how.
    pub scheme: Option<SignatureScheme>,
    /// Where it is signed.
    pub signature: Option<Octets<'a>>,
}

/// What a server sends to agree on keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parameters<'a> {
    /// Only the hint.
    None,
    /// A named curve and a point.
    Curve {
        /// The group.
        group: NamedGroup,
        /// The server's public key.
        point: Octets<'a>,
    },
    /// A short-lived RSA key of an export suite (RFC 2246 §7.4.3).
    Rsa {
        /// The modulus.
        modulus: Octets<'a>,
        /// The exponent.
        exponent: Octets<'a>,
    },
    /// Finite-field Diffie-Hellman.
    FiniteField {
        /// The prime.
        prime: Octets<'a>,
        /// The generator.
        generator: Octets<'a>,
        /// The server's public key.
        public: Octets<'a>,
    },
}

impl<'a> ServerKeyExchange<'a> {
    /// Reads the body; its form depends on the version and the suite that were chosen.
    pub fn parse(body: &'a [u8], version: Version, suite: CipherSuite) -> Result<Self, ParseError> {
        located("TLS ServerKeyExchange", body, body, |i| {
            Self::read(i, version, suite)
        })
        .map(|(_, exchange)| exchange)
    }

    fn read(i: &'a [u8], version: Version, suite: CipherSuite) -> PResult<'a, Self> {
        let exchange = suite.key_exchange();
        let has_hint = matches!(exchange, KeyExchange::Psk | KeyExchange::PskWith(_));
        let (i, psk_hint) = if has_hint {
            opaque16(i).map(|(i, hint)| (i, Some(Octets(hint))))?
        } else {
            (i, None)
        };
        let (i, parameters) = match exchange {
            KeyExchange::Ecdhe | KeyExchange::PskWith(PskPartner::Ecdhe) => curve(i)?,
            KeyExchange::Dhe | KeyExchange::PskWith(PskPartner::Dhe) => finite_field(i)?,
            KeyExchange::Psk | KeyExchange::PskWith(PskPartner::Rsa) => (i, Parameters::None),
            KeyExchange::Rsa => rsa(i)?,
            _ => return fault(i, Reason::Invalid("no ServerKeyExchange of a known form")),
        };
        let is_signed = !matches!(
            suite.authentication(),
            Authentication::Anonymous | Authentication::Psk
        ) && !has_hint;
        if !is_signed {
            let exchange = Self {
                psk_hint,
                parameters,
                scheme: None,
                signature: None,
            };
            return Ok((i, exchange));
        }
        let (i, scheme) = if version.rank() >= Version::TLS_1_2.rank() {
            be_u16(i).map(|(i, scheme)| (i, Some(SignatureScheme(scheme))))?
        } else {
            (i, None)
        };
        let (i, signature) = opaque16(i)?;
        let exchange = Self {
            psk_hint,
            parameters,
            scheme,
            signature: Some(Octets(signature)),
        };
        Ok((i, exchange))
    }

    /// The curve, where there is one.
    pub const fn group(&self) -> Option<NamedGroup> {
        match self.parameters {
            Parameters::Curve { group, .. } => Some(group),
            _ => None,
        }
    }
}

fn curve(i: &[u8]) -> PResult<'_, Parameters<'_>> {
    let at = i;
    let (i, curve_type) = be_u8(i)?;
    if CurveType(curve_type) != CurveType::NAMED_CURVE {
        return fault(at, Reason::Invalid("a curve without a name"));
    }
    let (i, group) = be_u16(i)?;
    let (i, point) = opaque8(i)?;
    let parameters = Parameters::Curve {
        group: NamedGroup(group),
        point: Octets(point),
    };
    Ok((i, parameters))
}

fn finite_field(i: &[u8]) -> PResult<'_, Parameters<'_>> {
    let (i, prime) = opaque16(i)?;
    let (i, generator) = opaque16(i)?;
    let (i, public) = opaque16(i)?;
    let parameters = Parameters::FiniteField {
        prime: Octets(prime),
        generator: Octets(generator),
        public: Octets(public),
    };
    Ok((i, parameters))
}

fn rsa(i: &[u8]) -> PResult<'_, Parameters<'_>> {
    let (i, modulus) = opaque16(i)?;
    let (i, exponent) = opaque16(i)?;
    let parameters = Parameters::Rsa {
        modulus: Octets(modulus),
        exponent: Octets(exponent),
    };
    Ok((i, parameters))
}

/// `ClientKeyExchange` of TLS 1.2 and before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKeyExchange<'a> {
    /// With a pre-shared key: the name of it, in clear.
    pub psk_identity: Option<Octets<'a>>,
    /// The client's public key, or what it encrypted to the server's.
    pub exchange: Octets<'a>,
}

impl<'a> ClientKeyExchange<'a> {
    /// Reads the body; its form depends on the suite that was chosen.
    pub fn parse(body: &'a [u8], suite: CipherSuite) -> Result<Self, ParseError> {
        let has_identity = matches!(
            suite.key_exchange(),
            KeyExchange::Psk | KeyExchange::PskWith(_)
        );
        if !has_identity {
            return Ok(Self {
                psk_identity: None,
                exchange: Octets(body),
            });
        }
        located("TLS ClientKeyExchange", body, body, opaque16).map(|(rest, identity)| Self {
            psk_identity: Some(Octets(identity)),
            exchange: Octets(rest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn suites_say_what_they_do() {
        use CipherSuite as S;
        let of = |suite: S| (suite.key_exchange(), suite.authentication());
        assert_eq!(
            of(S::TLS_AES_128_GCM_SHA256),
            (KeyExchange::Extensions, Authentication::Extensions)
        );
        assert_eq!(
            of(S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
            (KeyExchange::Ecdhe, Authentication::Ecdsa)
        );
        assert_eq!(
            of(S::TLS_DHE_RSA_WITH_AES_128_CBC_SHA),
            (KeyExchange::Dhe, Authentication::Rsa)
        );
        assert_eq!(
            of(S::TLS_DH_ANON_WITH_AES_128_CBC_SHA),
            (KeyExchange::Dhe, Authentication::Anonymous)
        );
        assert_eq!(
            of(S::TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256),
            (KeyExchange::PskWith(PskPartner::Ecdhe), Authentication::Psk)
        );
        assert_eq!(
            of(S::TLS_RSA_WITH_AES_256_GCM_SHA384),
            (KeyExchange::Rsa, Authentication::Rsa)
        );
        assert_eq!(of(S(0xffff)), (KeyExchange::Other, Authentication::Other));
        assert!(S::TLS_SM4_GCM_SM3.is_tls13());
        assert!(!S::TLS_EMPTY_RENEGOTIATION_INFO_SCSV.is_tls13());
        // Only signals, GREASE and the null suite may be left without an exchange.
        for suite in S::KNOWN.iter().filter(|s| !s.is_grease() && !s.is_signal()) {
            let name = suite.name().unwrap();
            let odd = ["KRB5", "GOST", "ECCPWD", "ECJPAKE", "TLS_NULL"];
            assert!(
                suite.key_exchange() != KeyExchange::Other
                    || odd.iter().any(|part| name.contains(part)),
                "{name}"
            );
        }
    }

    #[test]
    fn curve_and_signature() {
        let body = hex!("03 001d 04 aabbccdd 0804 0002 eeff");
        let suite = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
        let exchange = ServerKeyExchange::parse(&body, Version::TLS_1_2, suite).unwrap();
        assert_eq!(exchange.group(), Some(NamedGroup::X25519));
        assert_eq!(exchange.scheme, Some(SignatureScheme::RSA_PSS_RSAE_SHA256));
        assert_eq!(exchange.signature, Some(Octets(&[0xee, 0xff])));
        for length in 0..body.len() {
            let error =
                ServerKeyExchange::parse(&body[..length], Version::TLS_1_2, suite).unwrap_err();
            assert!(error.offset <= length);
        }
        // TLS 1.1 names no scheme.
        let body = hex!("03 0017 01 aa 0002 eeff");
        let exchange = ServerKeyExchange::parse(&body, Version::TLS_1_1, suite).unwrap();
        assert_eq!(
            (exchange.scheme, exchange.signature),
            (None, Some(Octets(&[0xee, 0xff])))
        );
    }

    #[test]
    fn finite_field_and_hints() {
        let body = hex!("0001 17 0001 02 0001 05 0401 0001 aa");
        let suite = CipherSuite::TLS_DHE_RSA_WITH_AES_128_GCM_SHA256;
        let exchange = ServerKeyExchange::parse(&body, Version::DTLS_1_2, suite).unwrap();
        assert!(matches!(
            exchange.parameters,
            Parameters::FiniteField {
                prime: Octets(&[0x17]),
                ..
            }
        ));
        let psk = CipherSuite::TLS_PSK_WITH_AES_128_GCM_SHA256;
        let hint = ServerKeyExchange::parse(&hex!("0002 6869"), Version::TLS_1_2, psk).unwrap();
        assert_eq!(hint.psk_hint, Some(Octets(b"hi")));
        let client = ClientKeyExchange::parse(&hex!("0003 70736b"), psk).unwrap();
        assert_eq!(client.psk_identity, Some(Octets(b"psk")));
        assert!(client.exchange.is_empty());
        let dh = CipherSuite::TLS_DH_RSA_WITH_AES_128_CBC_SHA;
        let error = ServerKeyExchange::parse(&[1, 2], Version::TLS_1_2, dh).unwrap_err();
        assert_eq!(error.offset, 0);
        let export = CipherSuite::TLS_RSA_EXPORT_WITH_RC4_40_MD5;
        let body = hex!("0001 aa 0001 03 0001 bb");
        let exchange = ServerKeyExchange::parse(&body, Version::SSL_3_0, export).unwrap();
        assert!(matches!(exchange.parameters, Parameters::Rsa { .. }));
        assert_eq!(exchange.signature, Some(Octets(&[0xbb])));
        assert!(export.has_known_key_exchange() && !dh.has_known_key_exchange());
    }
}
