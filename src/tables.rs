//! Lists and tables that several rooms keep things in. They are made for very many small things:
//! what they cost is octets and look-ups, and they know nothing of what they hold.

pub(crate) mod blocks;
pub mod book;
pub(crate) mod boxes;
pub(crate) mod sieve;

pub(crate) use blocks::Blocks;
pub(crate) use boxes::{Boxes, Keyed};
pub(crate) use sieve::Sieve;
