//! Numbers, texts, lists.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use super::{Pack, Packer, Unpacker};
use crate::time::{Span, Timestamp};
use crate::track::session::PerSide;

macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl Pack for $type {
            #[inline]
            fn pack(&self, to: &mut Packer<'_>) {
                to.number(u64::from(*self));
            }

            #[inline]
            fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
                Self::try_from(from.number()?).ok()
            }
        }
    )* };
}

numbers!(u8, u16, u32, u64);

impl Pack for usize {
    fn pack(&self, to: &mut Packer<'_>) {
        to.number(*self as u64);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        from.len()
    }
}

impl Pack for u128 {
    fn pack(&self, to: &mut Packer<'_>) {
        let octets = self.to_le_bytes();
        if *self == 0 {
            return to.number(0);
        }
        to.number(1);
        to.raw(&octets);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        if from.number()? == 0 {
            return Some(0);
        }
        Some(Self::from_le_bytes(*from.raw(16)?.first_chunk()?))
    }
}

impl Pack for bool {
    fn pack(&self, to: &mut Packer<'_>) {
        to.number(u64::from(*self));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(from.number()? == 1)
    }
}

impl Pack for Span {
    fn pack(&self, to: &mut Packer<'_>) {
        to.signed(self.0);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        from.signed().map(Self)
    }
}

impl Pack for Timestamp {
    fn pack(&self, to: &mut Packer<'_>) {
        to.signed(self.0);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        from.signed().map(Self)
    }
}

impl<T: Pack> Pack for Option<T> {
    fn pack(&self, to: &mut Packer<'_>) {
        to.number(u64::from(self.is_some()));
        if let Some(value) = self {
            value.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        match from.number()? {
            0 => Some(None),
            _ => T::unpack(from).map(Some),
        }
    }
}

impl<T: Pack> Pack for Box<T> {
    fn pack(&self, to: &mut Packer<'_>) {
        (**self).pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        T::unpack(from).map(Self::new)
    }
}

impl<T: Pack> Pack for Vec<T> {
    fn pack(&self, to: &mut Packer<'_>) {
        to.number(self.len() as u64);
        for item in self {
            item.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let len = from.len()?;
        let mut list = Self::with_capacity(len);
        for _ in 0..len {
            list.push(T::unpack(from)?);
        }
        Some(list)
    }
}

impl<T: Pack> Pack for VecDeque<T> {
    fn pack(&self, to: &mut Packer<'_>) {
        to.number(self.len() as u64);
        for item in self {
            item.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Vec::unpack(from).map(Self::from)
    }
}

impl<A: Pack, B: Pack> Pack for (A, B) {
    fn pack(&self, to: &mut Packer<'_>) {
        self.0.pack(to);
        self.1.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some((A::unpack(from)?, B::unpack(from)?))
    }
}

impl<A: Pack, B: Pack, C: Pack> Pack for (A, B, C) {
    fn pack(&self, to: &mut Packer<'_>) {
        self.0.pack(to);
        self.1.pack(to);
        self.2.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some((A::unpack(from)?, B::unpack(from)?, C::unpack(from)?))
    }
}

impl<T: Pack> Pack for PerSide<T> {
    fn pack(&self, to: &mut Packer<'_>) {
        self.client.pack(to);
        self.gateway.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self {
            client: T::unpack(from)?,
            gateway: T::unpack(from)?,
        })
    }
}

impl<const N: usize> Pack for [u8; N] {
    fn pack(&self, to: &mut Packer<'_>) {
        to.raw(self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        from.raw(N)?.first_chunk().copied()
    }
}

impl<T: Pack + Copy, const N: usize> Pack for [Option<T>; N] {
    fn pack(&self, to: &mut Packer<'_>) {
        for item in self {
            item.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let mut items = [None; N];
        for item in &mut items {
            *item = Pack::unpack(from)?;
        }
        Some(items)
    }
}

/// Octets with their length before them.
pub(in crate::track) fn octets(octets: &[u8], to: &mut Packer<'_>) {
    to.number(octets.len() as u64);
    to.raw(octets);
}

/// What [`octets`] wrote.
pub(in crate::track) fn octets_of<'a>(from: &mut Unpacker<'a>) -> Option<&'a [u8]> {
    let len = from.len()?;
    from.raw(len)
}

impl Pack for String {
    fn pack(&self, to: &mut Packer<'_>) {
        octets(self.as_bytes(), to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Self::from_utf8(octets_of(from)?.to_vec()).ok()
    }
}

/// The place of a shared text, or 0 and the text.
fn text(place: Option<u64>, text: &str, to: &mut Packer<'_>) {
    match place {
        Some(place) => to.number(place + 1),
        None => {
            to.number(0);
            octets(text.as_bytes(), to);
        }
    }
}

impl Pack for Cow<'static, str> {
    fn pack(&self, to: &mut Packer<'_>) {
        let place = match self {
            Self::Borrowed(own) => to.shared.own_text(own),
            Self::Owned(made) => to.shared.text(made),
        };
        text(place, self, to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let Some(place) = from.number()?.checked_sub(1) else {
            return String::unpack(from).map(Self::Owned);
        };
        let (shared, own) = from.shared.text_at(place)?;
        Some(match own {
            Some(own) => Self::Borrowed(own),
            None => Self::Owned(shared.to_string()),
        })
    }
}

impl Pack for Arc<str> {
    fn pack(&self, to: &mut Packer<'_>) {
        let place = to.shared.shared_text(self);
        text(place, self, to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let Some(place) = from.number()?.checked_sub(1) else {
            return String::unpack(from).map(Self::from);
        };
        let (shared, _) = from.shared.text_at(place)?;
        Some(Self::clone(shared))
    }
}
