//! What the families would each read anew of the session that is being diagnosed.
//!
//! A session does not change while it is diagnosed. What is remembered is found by the address
//! of the session and is forgotten when its diagnosis ends, so that no other one can meet it.

use std::cell::Cell;

use super::Context;
use super::ike2::AuthAt;
use super::tls::{End, Phase, Vpn};
use crate::track::session::Session;

/// What was read of a session.
#[derive(Debug, Clone, Copy)]
struct Memo {
    /// Addresses of the session and of the context.
    of: (usize, usize),
    ike2: Option<AuthAt>,
    tls: Option<(Phase, End, Option<Vpn>)>,
}

std::thread_local! {
    static MEMO: Cell<Option<Memo>> = const { Cell::new(None) };
}

/// While it lives, what is read of one session is remembered.
pub(super) struct Scope;

impl Scope {
    pub(super) fn of(session: &Session, context: &Context) -> Self {
        MEMO.set(Some(Memo {
            of: (address(session), address(context)),
            ike2: None,
            tls: None,
        }));
        Self
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        MEMO.set(None);
    }
}

fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
}

fn remembered(session: &Session) -> Option<Memo> {
    MEMO.get().filter(|memo| memo.of.0 == address(session))
}

/// How `IKE_AUTH` ended, read once.
pub(super) fn ike2(session: &Session, read: impl FnOnce() -> AuthAt) -> AuthAt {
    let memo = remembered(session);
    if let Some(known) = memo.and_then(|memo| memo.ike2) {
        return known;
    }
    let auth = read();
    if let Some(memo) = memo {
        MEMO.set(Some(Memo {
            ike2: Some(auth),
            ..memo
        }));
    }
    auth
}

/// How far a channel came, what ended it and why it is a VPN's, read once.
pub(super) fn tls(
    session: &Session,
    context: &Context,
    read: impl FnOnce() -> (Phase, End, Option<Vpn>),
) -> (Phase, End, Option<Vpn>) {
    let memo = remembered(session).filter(|memo| memo.of.1 == address(context));
    if let Some(known) = memo.and_then(|memo| memo.tls) {
        return known;
    }
    let tls = read();
    if let Some(memo) = memo {
        MEMO.set(Some(Memo {
            tls: Some(tls),
            ..memo
        }));
    }
    tls
}
