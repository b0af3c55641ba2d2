//! How structures and choices are written: field after field. Each names all of its fields or
//! variants, so that one more is an error until it is packed as well.

/// A structure, field after field.
macro_rules! packed {
    ($($type:ty { $($field:ident),* $(,)? })*) => { $(
        impl $crate::track::pack::Pack for $type {
            fn pack(&self, to: &mut $crate::track::pack::Packer<'_>) {
                let Self { $($field),* } = self;
                $($crate::track::pack::Pack::pack($field, to);)*
            }

            fn unpack(from: &mut $crate::track::pack::Unpacker<'_>) -> Option<Self> {
                Some(Self { $($field: $crate::track::pack::Pack::unpack(from)?),* })
            }
        }
    )* };
}

/// A number with a name.
macro_rules! packed_code {
    ($($type:ty),* $(,)?) => { $(
        impl $crate::track::pack::Pack for $type {
            fn pack(&self, to: &mut $crate::track::pack::Packer<'_>) {
                $crate::track::pack::Pack::pack(&self.0, to);
            }

            fn unpack(from: &mut $crate::track::pack::Unpacker<'_>) -> Option<Self> {
                $crate::track::pack::Pack::unpack(from).map(Self)
            }
        }
    )* };
}

/// A choice: each variant with its number and what it carries.
macro_rules! packed_choice {
    ($($type:ty { $($number:literal => $variant:ident $(($($value:ident),*))?),* $(,)? })*) => { $(
        impl $crate::track::pack::Pack for $type {
            fn pack(&self, to: &mut $crate::track::pack::Packer<'_>) {
                match self {
                    $(Self::$variant $(($($value),*))? => {
                        to.number($number);
                        $($($crate::track::pack::Pack::pack($value, to);)*)?
                    })*
                }
            }

            fn unpack(from: &mut $crate::track::pack::Unpacker<'_>) -> Option<Self> {
                match from.number()? {
                    $($number => Some(Self::$variant $(($({
                        let $value = $crate::track::pack::Pack::unpack(from)?;
                        $value
                    }),*))?),)*
                    _ => None,
                }
            }
        }
    )* };
}
