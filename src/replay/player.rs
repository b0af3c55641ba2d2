//! What a protocol must be able to do to be played.

use std::net::SocketAddr;

use super::conversation::Channel;

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// Where.
    pub(super) channel: Channel,
    /// The octets, without marker.
    pub(super) octets: Vec<u8>,
    /// The recorded message it stands for, by its place in the conversation.
    pub(super) recorded: Option<usize>,
    /// Whether it is sent again until something is heard.
    pub(super) awaits: Awaits,
}

/// Whether something sent is sent again until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    /// It is sent once.
    Nothing,
    /// There is more to say before an answer can come: it is sent again with what follows.
    Rest,
    /// An answer is waited for.
    Answer,
}

impl Awaits {
    /// `Answer` where one is waited for.
    pub(super) const fn answer(so: bool) -> Self {
        if so { Self::Answer } else { Self::Nothing }
    }
}

/// What a player does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// It says something.
    Send(Outgoing),
    /// It waits for the other end.
    Wait,
    /// It has said and heard what it can.
    Done,
}

/// What a player makes of what it heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was waited for.
    Answer,
    /// It belongs to the conversation, and answers nothing that is waited for.
    Aside,
    /// A part of what is waited for: there is more to come.
    Part,
    /// The same as before.
    Again,
    /// Not for this conversation.
    Foreign(&'static str),
    /// Not the protocol at all.
    Garbage(&'static str),
}

/// The addresses of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// Ours.
    pub(super) local: SocketAddr,
    /// The peer's.
    pub(super) peer: SocketAddr,
}

/// One end of a conversation, as a state machine without clock or socket.
pub(super) trait Player: Send {
    /// What to do next. Called again after each `Send` until it gives something else.
    fn next(&mut self, ends: &dyn Fn(Channel) -> Ends) -> Next;

    /// Takes what was heard.
    fn hear(&mut self, channel: Channel, octets: &[u8]) -> Heard;

    /// What goes out at once, whatever is waited for: acknowledgements, answers.
    fn urgent(&mut self) -> Option<Outgoing> {
        None
    }

    /// The octets of something that is sent again.
    fn repeat(&mut self, outgoing: &Outgoing) -> Vec<u8> {
        outgoing.octets.clone()
    }

    /// What leaves no half-open state behind, where the protocol has something for it.
    fn farewell(&mut self) -> Vec<Outgoing> {
        Vec::new()
    }

    /// A later message of the recording as it stands, but for what makes the peer drop it
    /// unread.
    fn blind(&mut self, recorded: usize) -> Option<Outgoing>;

    /// Whether silence now means that the other end has said all it has to say.
    fn satisfied(&self) -> bool {
        false
    }
}
