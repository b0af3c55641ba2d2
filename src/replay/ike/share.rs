//! Public values of our own for a group that the peer asks for.
//!
//! The replay stops before anybody needs the shared secret, so no private key stands behind
//! them. They are what a peer accepts when it checks them: a MODP value below its modulus, a
//! point that is on its curve, a key whose coefficients are in range.

use vpnscope_dissectors::ike::v2::KeyExchange;

use super::super::rng::Rng;

/// The generators of the NIST curves (SEC 2 v2 §2.4.2, §2.5.1, §2.6.1), x and y: any point on
/// the curve will do, and these are known.
const P256: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
const P384: &str = "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7\
3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f";
const P521: &str = "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66\
011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650";

/// A public value for a group; `None` for groups that have no known form here.
pub(super) fn public_value(group: KeyExchange, rng: &mut Rng) -> Option<Vec<u8>> {
    let len = group.public_len()?.initiator;
    match group.0 {
        // Every modulus begins with 64 set bits: a value that begins with a clear one is below.
        1 | 2 | 5 | 14..=18 | 22..=24 => {
            let mut value = rng.octets(len);
            if let Some(first) = value.first_mut() {
                *first &= 0x7f;
            }
            Some(value)
        }
        19 => Some(unhex(P256)),
        20 => Some(unhex(P384)),
        21 => Some(unhex(P521)),
        // Every string of this length is a value (RFC 7748 §5).
        31 | 32 => Some(rng.octets(len)),
        35..=37 => Some(encapsulation_key(len, rng)),
        _ => None,
    }
}

/// Coefficients of twelve bits, each below 3329 (FIPS 203 §7.2), then a seed of 32 octets.
fn encapsulation_key(len: usize, rng: &mut Rng) -> Vec<u8> {
    let mut key = Vec::with_capacity(len);
    while key.len() + 32 < len {
        let [a, b, c, d, ..] = rng.next_u64().to_le_bytes();
        let (low, high) = (
            u16::from_le_bytes([a, b]) % 3329,
            u16::from_le_bytes([c, d]) % 3329,
        );
        let packed = u32::from(low) | (u32::from(high) << 12);
        key.extend(packed.to_le_bytes().into_iter().take(3));
    }
    key.extend(rng.octets(len.saturating_sub(key.len())));
    key
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |value, digit| value << 4 | digit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_the_length_of_its_group() {
        let mut rng = Rng::new(1);
        let mut made = 0;
        for &group in KeyExchange::KNOWN {
            if let Some(value) = public_value(group, &mut rng) {
                assert_eq!(
                    value.len(),
                    group.public_len().unwrap().initiator,
                    "{group}"
                );
                made += 1;
            }
        }
        assert!(made >= 19, "{made}");
    }

    #[test]
    fn coefficients_are_in_range() {
        let key = encapsulation_key(1184, &mut Rng::new(3));
        for triple in key[..1152].chunks_exact(3) {
            let packed = u32::from_le_bytes([triple[0], triple[1], triple[2], 0]);
            assert!(packed & 0xfff < 3329 && packed >> 12 < 3329);
        }
    }
}
