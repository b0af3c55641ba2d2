//! L2TP version 2 headers and PPP packets, taken apart for changes.

/// Where the fields of an L2TP header stand (RFC 2661 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) is_control: bool,
    length: Option<usize>,
    tunnel: usize,
    session: usize,
    ns: Option<usize>,
    pub(super) body: usize,
}

impl Places {
    /// Of a message; `None` where it is no version 2.
    pub(super) fn of(octets: &[u8]) -> Option<Self> {
        let flags = u16_at(octets, 0)?;
        if flags & 0x0f != 2 {
            return None;
        }
        let mut at = 2;
        let mut field = |present: bool, len: usize| {
            present.then(|| {
                at += len;
                at - len
            })
        };
        let length = field(flags & 0x4000 != 0, 2);
        let tunnel = field(true, 2)?;
        let session = field(true, 2)?;
        let ns = field(flags & 0x0800 != 0, 4);
        let offset = field(flags & 0x0200 != 0, 2);
        let padding = match offset {
            Some(place) => usize::from(u16_at(octets, place)?),
            None => 0,
        };
        let body = at + padding;
        (octets.len() >= body).then_some(Self {
            is_control: flags & 0x8000 != 0,
            length,
            tunnel,
            session,
            ns,
            body,
        })
    }

    pub(super) fn set_tunnel(&self, octets: &mut [u8], id: u16) {
        set_u16(octets, self.tunnel, id);
    }

    pub(super) fn set_session(&self, octets: &mut [u8], id: u16) {
        set_u16(octets, self.session, id);
    }

    pub(super) fn session(&self, octets: &[u8]) -> u16 {
        u16_at(octets, self.session).unwrap_or_default()
    }

    pub(super) fn set_sequence(&self, octets: &mut [u8], ns: u16, nr: u16) {
        if let Some(place) = self.ns {
            set_u16(octets, place, ns);
            set_u16(octets, place + 2, nr);
        }
    }

    /// Makes the length field right.
    pub(super) fn set_length(&self, octets: &mut [u8]) {
        if let Some(place) = self.length {
            let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
            set_u16(octets, place, length);
        }
    }
}

pub(super) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    let pair = octets.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*pair))
}

pub(super) fn set_u16(octets: &mut [u8], at: usize, value: u16) {
    if let Some(pair) = octets
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<2>())
    {
        *pair = value.to_be_bytes();
    }
}

/// Attributes whose values are substituted.
pub(super) mod avp {
    pub(in super::super) const TIE_BREAKER: u16 = 5;
    pub(in super::super) const ASSIGNED_TUNNEL: u16 = 9;
    pub(in super::super) const ASSIGNED_SESSION: u16 = 14;
}

/// Calls `change` with type and value of each attribute of vendor 0 that is not hidden.
pub(super) fn for_each_avp(body: &mut [u8], mut change: impl FnMut(u16, &mut [u8])) {
    let mut rest = body;
    while let Some(head) = rest.first_chunk::<6>() {
        let word = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(word & 0x03ff);
        let kind = u16::from_be_bytes([head[4], head[5]]);
        let plain = head[2] == 0 && head[3] == 0 && word & 0x4000 == 0;
        if len < 6 || len > rest.len() {
            return;
        }
        let (this, after) = rest.split_at_mut(len);
        if let (true, Some(value)) = (plain, this.get_mut(6..)) {
            change(kind, value);
        }
        rest = after;
    }
}

/// A PPP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) protocol: u16,
    pub(super) code: u8,
    pub(super) identifier: u8,
    pub(super) data: Vec<u8>,
}

impl Packet {
    /// Reads a frame; `None` where it is no control packet.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let frame = frame.strip_prefix(&[0xff, 0x03]).unwrap_or(frame);
        let protocol = u16_at(frame, 0)?;
        let &[code, identifier, high, low] = frame.get(2..)?.first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        // Control and authentication protocols have numbers from 8000 on.
        if protocol < 0x8000 || len < 4 {
            return None;
        }
        let data = frame.get(6..2 + len)?.to_vec();
        Some(Self {
            protocol,
            code,
            identifier,
            data,
        })
    }

    /// The frame, with address and control fields where `prefix` says so.
    pub(super) fn write(&self, prefix: bool) -> Vec<u8> {
        let mut frame = if prefix { vec![0xff, 0x03] } else { Vec::new() };
        frame.extend(self.protocol.to_be_bytes());
        frame.extend([self.code, self.identifier]);
        let len = u16::try_from(self.data.len() + 4).unwrap_or(u16::MAX);
        frame.extend(len.to_be_bytes());
        frame.extend(&self.data);
        frame
    }
}

/// The options of a Configure packet.
pub(super) type Options = Vec<(u8, Vec<u8>)>;

pub(super) fn options(mut data: &[u8]) -> Options {
    let mut list = Vec::new();
    while let Some(&[kind, len]) = data.first_chunk::<2>() {
        let len = usize::from(len);
        let Some((option, rest)) = data.split_at_checked(len).filter(|_| len >= 2) else {
            break;
        };
        list.push((kind, option.get(2..).unwrap_or_default().to_vec()));
        data = rest;
    }
    list
}

pub(super) fn encode(options: &Options) -> Vec<u8> {
    let mut data = Vec::new();
    for (kind, value) in options {
        data.push(*kind);
        data.push(u8::try_from(value.len() + 2).unwrap_or(u8::MAX));
        data.extend(value);
    }
    data
}
