//! A session that is awake, or asleep: packed until something is about it.

use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Deref, DerefMut};

use super::pack::{Packed, Shared};
use super::session::{Detail, Endpoint, Kind, Session, Stamp};
use crate::time::Timestamp;

/// A session, packed or not.
#[derive(Debug, Default)]
pub(crate) struct Nap {
    /// While it is awake.
    session: Option<Box<Session>>,
    /// While it is asleep.
    packed: Option<Packed>,
    /// While it is asleep and looked at.
    glimpse: OnceCell<Box<Session>>,
}

impl Nap {
    pub(super) fn awake(session: Box<Session>) -> Self {
        Self {
            session: Some(session),
            ..Self::default()
        }
    }

    /// Whether it is packed.
    #[inline]
    pub(super) const fn is_asleep(&self) -> bool {
        self.session.is_none()
    }

    /// The session, while it is awake.
    #[inline]
    pub(super) fn if_awake(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// Octets it is packed into; 0 while it is awake.
    pub(super) fn packed(&self) -> usize {
        self.packed.as_ref().map_or(0, Packed::octets)
    }

    /// Packs it; `false` where it cannot be.
    pub(super) fn sleep(&mut self, shared: &mut Shared) -> bool {
        if let Some(session) = &self.session {
            self.packed = Packed::of(session, shared);
            if self.packed.is_some() {
                self.session = None;
            }
        }
        self.is_asleep()
    }

    /// Forgets what it was unpacked into to be looked at.
    pub(super) fn settle(&mut self) {
        self.glimpse.take();
    }

    /// Unpacks it to be looked at; whether it had to be.
    pub(super) fn disturb(&self, shared: &Shared) -> Option<bool> {
        if self.session.is_some() || self.glimpse.get().is_some() {
            return Some(false);
        }
        let session = self.packed.as_ref()?.unpack(shared)?;
        Some(self.glimpse.set(session).is_ok())
    }

    /// Unpacks it to be changed.
    pub(super) fn wake(&mut self, shared: &Shared) -> Option<()> {
        self.disturb(shared)?;
        if let Some(session) = self.glimpse.take() {
            self.session = Some(session);
            self.packed = None;
        }
        Some(())
    }

    /// Shows what it is unpacked into while it is asleep, and forgets that.
    pub(super) fn glimpse(&mut self, shared: &Shared, show: impl FnOnce(&mut Session)) {
        if self.disturb(shared).is_some()
            && let Some(mut session) = self.glimpse.take()
        {
            show(&mut session);
        }
    }

    /// The session itself.
    pub(super) fn into_session(mut self, shared: &Shared) -> Option<Box<Session>> {
        self.wake(shared)?;
        self.session
    }
}

/// What stands for a session that was not unpacked. The slab gives none away.
fn nobody() -> Box<Session> {
    let nowhere = Endpoint {
        ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port: 0,
    };
    let never = Stamp::new(0, 0, Timestamp(0));
    let nobody = Session::empty(Kind::Esp, nowhere, nowhere, never, Detail::Esp);
    Box::new(nobody)
}

impl Deref for Nap {
    type Target = Session;

    #[inline]
    fn deref(&self) -> &Session {
        match &self.session {
            Some(session) => session,
            None => self.glimpse.get_or_init(nobody),
        }
    }
}

impl DerefMut for Nap {
    #[inline]
    fn deref_mut(&mut self) -> &mut Session {
        self.session.get_or_insert_with(nobody)
    }
}
