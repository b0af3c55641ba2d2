//! `wire_code!`: a newtype over the integer on the wire, with one constant per registered
//! value, spelled as the registry spells it. Unknown values are kept, never rejected.

/// Declares a code type.
///
/// ```text
/// wire_code! {
///     /// IKEv2 exchange types. Registry: IANA "IKEv2 Exchange Types", read 2026-11.
///     pub struct ExchangeType(u8) {
///         IKE_SA_INIT = 34,
///         /// RFC 9242.
///         IKE_INTERMEDIATE = 43,
///         THREE_DES = 3 "3DES",       // a name that is no identifier
///     }
/// }
/// ```
macro_rules! wire_code {
    (
        $(#[$meta:meta])*
        pub struct $type:ident($int:ty) {
            $( $(#[$cmeta:meta])* $name:ident = $value:literal $($label:literal)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $type(pub $int);

        impl $type {
            $(
                $(#[$cmeta])*
                #[doc = concat!(" `", stringify!($name), "` (", stringify!($value), ").")]
                pub const $name: Self = Self($value);
            )*

            /// Every registered value.
            pub const KNOWN: &'static [Self] = &[ $( Self($value) ),* ];

            /// The registry's name, or `None` for a value that this table does not hold.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some(wire_code!(@label $name $($label)?)), )*
                    _ => None,
                }
            }
        }

        impl ::core::fmt::Display for $type {
            /// The registry's name, or `UNKNOWN_n`.
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "UNKNOWN_{}", self.0),
                }
            }
        }

        impl ::core::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($type), "({})"), self.0),
                }
            }
        }

        impl From<$int> for $type {
            fn from(value: $int) -> Self {
                Self(value)
            }
        }
    };
    (@label $name:ident $label:literal) => { $label };
    (@label $name:ident) => { stringify!($name) };
}

#[cfg(test)]
mod tests {
    #![expect(unreachable_pub, reason = "the macro declares public items")]

    wire_code! {
        /// Test codes.
        pub struct Colour(u8) {
            RED = 1,
            THREE_DES = 3 "3DES",
        }
    }

    #[test]
    fn names_and_unknowns() {
        assert_eq!(Colour::RED.to_string(), "RED");
        assert_eq!(Colour::THREE_DES.name(), Some("3DES"));
        assert_eq!(Colour(9).to_string(), "UNKNOWN_9");
        assert_eq!(format!("{:?}", Colour(9)), "Colour(9)");
        assert_eq!(Colour::KNOWN.len(), 2);
    }
}
