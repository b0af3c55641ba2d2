//! DNS (RFC 1035): header, questions, and the answers that name an address or another name.
//!
//! In: the payload of a UDP datagram, or of a TCP segment after its two length octets.
//! Out: lazy questions and records; names are followed through compression pointers, which
//! must point backwards, so that they always end.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::io::Write as _;

use crate::error::{PResult, array, be_u16, be_u32, located};
use crate::{Octets, ParseError, Reason, Verdict};

/// The port of DNS.
pub const PORT: u16 = 53;

wire_code! {
    /// Response codes. Registry: IANA "DNS RCODEs", read 2026-11.
    pub struct ResponseCode(u8) {
        NOERROR = 0 "NoError",
        FORMERR = 1 "FormErr",
        SERVFAIL = 2 "ServFail",
        NXDOMAIN = 3 "NXDomain",
        NOTIMP = 4 "NotImp",
        REFUSED = 5 "Refused",
        YXDOMAIN = 6 "YXDomain",
        YXRRSET = 7 "YXRRSet",
        NXRRSET = 8 "NXRRSet",
        NOTAUTH = 9 "NotAuth",
        NOTZONE = 10 "NotZone",
        DSOTYPENI = 11,
    }
}

wire_code! {
    /// Record types. Registry: IANA "Resource Record (RR) TYPEs", read 2026-11.
    pub struct RecordType(u16) {
        A = 1,
        NS = 2,
        CNAME = 5,
        SOA = 6,
        PTR = 12,
        MX = 15,
        TXT = 16,
        AAAA = 28,
        SRV = 33,
        NAPTR = 35,
        DNAME = 39,
        OPT = 41,
        DS = 43,
        IPSECKEY = 45,
        RRSIG = 46,
        NSEC = 47,
        DNSKEY = 48,
        SVCB = 64,
        HTTPS = 65,
        ANY = 255 "*",
    }
}

/// The greatest length of a name in octets (RFC 1035 §3.1).
const MAX_NAME: usize = 255;
/// Pointers followed for one name. A name of the greatest length has 127 labels, and no
/// encoder needs more than one pointer a label; without a limit a message full of pointers
/// costs its length squared.
const MAX_POINTERS: u8 = 127;

/// One DNS message: the header, 12 octets, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Octets 0..2. Matches answers to queries, with the ports.
    pub id: u16,
    /// Octets 2..4.
    pub flags: Flags,
    /// Octets 4..6: questions, as declared.
    pub question_count: u16,
    /// Octets 6..8: answers, as declared.
    pub answer_count: u16,
    /// Octets 8..10: authority records, as declared.
    pub authority_count: u16,
    /// Octets 10..12: additional records, as declared.
    pub additional_count: u16,
    octets: &'a [u8],
}

/// The flags and codes of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// QR: a response.
    pub const fn is_response(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// The kind of query: 0 is a standard one.
    pub const fn opcode(self) -> u8 {
        let [high, _] = self.0.to_be_bytes();
        (high >> 3) & 0x0f
    }

    /// TC: the answer was cut and should be asked for again over TCP.
    pub const fn is_truncated(self) -> bool {
        self.0 & 0x0200 != 0
    }

    /// Z: must be zero.
    const fn is_reserved_set(self) -> bool {
        self.0 & 0x0040 != 0
    }

    /// The response code.
    pub const fn response_code(self) -> ResponseCode {
        let [_, low] = self.0.to_be_bytes();
        ResponseCode(low & 0x0f)
    }
}

impl<'a> Message<'a> {
    /// Size of the header in octets.
    pub const HEADER_LEN: usize = 12;

    /// All its octets.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Reads the header.
    pub fn parse(octets: &'a [u8]) -> Result<Self, ParseError> {
        located("DNS header", octets, octets, |i| {
            let (i, id) = be_u16(i)?;
            let (i, flags) = be_u16(i)?;
            let (i, question_count) = be_u16(i)?;
            let (i, answer_count) = be_u16(i)?;
            let (i, authority_count) = be_u16(i)?;
            let (i, additional_count) = be_u16(i)?;
            let message = Message {
                id,
                flags: Flags(flags),
                question_count,
                answer_count,
                authority_count,
                additional_count,
                octets,
            };
            Ok((i, message))
        })
        .map(|(_, message)| message)
    }

    /// The questions: every good one, then at most one error.
    pub fn questions(&self) -> Questions<'a> {
        Questions {
            octets: self.octets,
            rest: self.octets.get(Self::HEADER_LEN..).unwrap_or_default(),
            left: self.question_count,
        }
    }

    /// The answer records: every good one, then at most one error. Empty where the
    /// questions before them cannot be read.
    pub fn answers(&self) -> Records<'a> {
        self.answers_after(self.questions())
    }

    /// The same where some questions were read already, all of them good.
    pub fn answers_after(&self, mut questions: Questions<'a>) -> Records<'a> {
        let is_good = questions.by_ref().all(|question| question.is_ok());
        Records {
            octets: self.octets,
            rest: questions.rest,
            left: if is_good { self.answer_count } else { 0 },
        }
    }
}

/// A domain name, read label by label.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    message: &'a [u8],
    start: usize,
    /// Where its root stands, if all of it stands in one piece; 0 where it does not.
    root: usize,
}

impl<'a> Name<'a> {
    /// The labels, root excluded. Ends silently at a fault: the parser that gave the name
    /// has walked it once already.
    pub const fn labels(&self) -> Labels<'a> {
        Labels {
            message: self.message,
            at: self.start,
            floor: self.start,
            octets: 0,
            pointers: 0,
            end: 0,
        }
    }

    /// As `Display` writes it, in lower case, in place of what `text` held: ASCII.
    pub fn put_lower_case(&self, text: &mut Vec<u8>) {
        text.clear();
        let first = self.start.saturating_add(1);
        let labels = if let Some(octets) = self.message.get(first..self.root) {
            text.extend_from_slice(octets);
            let length = self.message.get(self.start).copied().unwrap_or_default();
            put_dots(text, length)
        } else {
            let mut count = 0_u8;
            for label in self.labels() {
                if count > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(label);
                count = count.wrapping_add(1);
            }
            count
        };
        // Whole pieces without a branch for each octet: nearly every name is plain.
        let len = text.len();
        text.resize(len.next_multiple_of(PIECE), b'a');
        let (mut is_odd, mut dots) = (false, 0_u8);
        for piece in text.as_chunks_mut::<PIECE>().0 {
            let (odd, found) = lower_case(piece);
            is_odd |= odd;
            dots = dots.wrapping_add(found);
        }
        text.truncate(len);
        if is_odd || dots != labels.saturating_sub(1) {
            self.put_odd(text);
        }
    }

    /// The same where an octet is no part of a host name.
    #[cold]
    fn put_odd(&self, text: &mut Vec<u8>) {
        text.clear();
        for label in self.labels() {
            if !text.is_empty() {
                text.push(b'.');
            }
            for octet in label {
                if octet.is_ascii_graphic() && !matches!(octet, b'.' | b'\\') {
                    text.push(octet.to_ascii_lowercase());
                } else {
                    let _ = write!(text, "\\{octet:03}");
                }
            }
        }
    }

    /// Reads a name at `i`, a sub-slice of `message` that runs to its end.
    #[inline]
    fn read(message: &'a [u8], i: &'a [u8]) -> PResult<'a, Self> {
        let start = message.len().saturating_sub(i.len());
        let mut name = Self {
            message,
            start,
            root: 0,
        };
        if let Some((root, rest)) = plain(message, start) {
            name.root = root;
            return Ok((rest, name));
        }
        let mut labels = name.labels();
        loop {
            match labels.step() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err((at, reason)) => {
                    return crate::error::fault(message.get(at..).unwrap_or_default(), reason);
                }
            }
        }
        if labels.pointers == 0 {
            name.root = labels.at;
        }
        let rest = message.get(labels.end()..).unwrap_or_default();
        Ok((rest, name))
    }
}

impl fmt::Display for Name<'_> {
    /// Labels joined by dots, without the last one; octets that are no printable ASCII, and
    /// dots inside a label, are written `\ddd`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for label in self.labels() {
            if !is_first {
                f.write_str(".")?;
            }
            is_first = false;
            for &octet in label {
                if octet.is_ascii_graphic() && octet != b'.' && octet != b'\\' {
                    write!(f, "{}", char::from(octet))?;
                } else {
                    write!(f, "\\{octet:03}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl PartialEq for Name<'_> {
    /// Names are equal without regard to ASCII case (RFC 4343).
    fn eq(&self, other: &Self) -> bool {
        let mut others = other.labels();
        self.labels()
            .all(|label| others.next().is_some_and(|o| o.eq_ignore_ascii_case(label)))
            && others.next().is_none()
    }
}

impl Eq for Name<'_> {}

/// Where the root of a name stands that is written without pointers, as nearly every first one of a
/// message is, and what follows it; `None` for any other, and where something is wrong.
#[inline]
fn plain(message: &[u8], start: usize) -> Option<(usize, &[u8])> {
    let mut at = start;
    while at.saturating_sub(start) < MAX_NAME {
        match *message.get(at)? {
            0 => return message.get(at.saturating_add(1)..).map(|rest| (at, rest)),
            length @ 1..0x40 => at = at.saturating_add(usize::from(length)).saturating_add(1),
            _ => return None,
        }
    }
    None
}

/// Octets that are looked at together.
const PIECE: usize = 16;

/// Puts dots in the place of the lengths in a name, of which the first one is `length` and stands
/// no more before it. Gives how many labels it has.
fn put_dots(text: &mut [u8], length: u8) -> u8 {
    let mut rest = text;
    let (mut labels, mut length) = (u8::from(length > 0), length);
    while let Some((dot, behind)) = rest
        .get_mut(usize::from(length)..)
        .and_then(<[u8]>::split_first_mut)
    {
        length = std::mem::replace(dot, b'.');
        labels = labels.wrapping_add(1);
        rest = behind;
    }
    labels
}

/// Makes letters small. Gives whether an octet is none of a host name, and how many are dots.
#[inline]
fn lower_case(piece: &mut [u8; PIECE]) -> (bool, u8) {
    let (mut odd, mut dots) = (0_u8, 0_u8);
    for octet in piece {
        odd |= u8::from(!octet.is_ascii_graphic()) | u8::from(*octet == b'\\');
        dots = dots.wrapping_add(u8::from(*octet == b'.'));
        *octet |= u8::from(octet.is_ascii_uppercase()) << 5;
    }
    (odd != 0, dots)
}

/// The labels of a name.
#[derive(Debug, Clone)]
pub struct Labels<'a> {
    message: &'a [u8],
    at: usize,
    /// Every pointer must go below this, which makes loops impossible.
    floor: usize,
    octets: usize,
    pointers: u8,
    /// Where the first pointer ends.
    end: usize,
}

impl<'a> Labels<'a> {
    /// Where the octets end that stand in the place of the name, once all labels were given.
    const fn end(&self) -> usize {
        if self.pointers > 0 {
            self.end
        } else {
            self.at.saturating_add(1)
        }
    }

    #[inline]
    fn step(&mut self) -> Result<Option<&'a [u8]>, (usize, Reason)> {
        loop {
            let available = self.message.len().saturating_sub(self.at);
            let short = |needed| Reason::Truncated { needed, available };
            let Some(&first) = self.message.get(self.at) else {
                return Err((self.at, short(1)));
            };
            if first == 0 {
                return Ok(None);
            }
            if first >= 0xc0 {
                let Some(&low) = self.message.get(self.at.saturating_add(1)) else {
                    return Err((self.at, short(2)));
                };
                let target = usize::from(u16::from_be_bytes([first & 0x3f, low]));
                if target >= self.floor {
                    let reason = Reason::Invalid("compression pointer does not point back");
                    return Err((self.at, reason));
                }
                if self.pointers >= MAX_POINTERS {
                    return Err((self.at, Reason::Invalid("too many compression pointers")));
                }
                if self.pointers == 0 {
                    self.end = self.at.saturating_add(2);
                }
                self.pointers = self.pointers.saturating_add(1);
                self.floor = target;
                self.at = target;
                continue;
            }
            if first >= 0x40 {
                return Err((self.at, Reason::Invalid("unknown label type")));
            }
            let len = usize::from(first);
            let start = self.at.saturating_add(1);
            let end = start.saturating_add(len);
            let Some(label) = self.message.get(start..end) else {
                return Err((self.at, short(len.saturating_add(1))));
            };
            self.octets = self.octets.saturating_add(len).saturating_add(1);
            if self.octets >= MAX_NAME {
                return Err((self.at, Reason::Invalid("name longer than 255 octets")));
            }
            self.at = end;
            return Ok(Some(label));
        }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.step().ok().flatten()
    }
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// What is asked for.
    pub name: Name<'a>,
    /// The type of record.
    pub record_type: RecordType,
    /// The class; 1 is the Internet. Multicast DNS uses the top bit otherwise.
    pub class: u16,
}

/// The questions of a message.
#[derive(Debug, Clone)]
pub struct Questions<'a> {
    octets: &'a [u8],
    rest: &'a [u8],
    left: u16,
}

impl<'a> Iterator for Questions<'a> {
    type Item = Result<Question<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (whole, part) = (self.octets, self.rest);
        let item = located("DNS question", whole, part, |i| {
            let (i, name) = Name::read(whole, i)?;
            let (i, record_type) = be_u16(i)?;
            let (i, class) = be_u16(i)?;
            let question = Question {
                name,
                record_type: RecordType(record_type),
                class,
            };
            Ok((i, question))
        });
        Some(item.map_or_else(
            |error| {
                self.left = 0;
                Err(error)
            },
            |(rest, question)| {
                self.rest = rest;
                Ok(question)
            },
        ))
    }
}

/// One resource record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Whose record it is.
    pub name: Name<'a>,
    /// Its type.
    pub record_type: RecordType,
    /// Its class.
    pub class: u16,
    /// Time to live, seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data<'a>,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Data<'a> {
    /// A.
    Ipv4(Ipv4Addr),
    /// AAAA.
    Ipv6(Ipv6Addr),
    /// CNAME, DNAME, NS, PTR.
    Name(Name<'a>),
    /// Anything else.
    Octets(Octets<'a>),
}

/// Resource records of a message.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    octets: &'a [u8],
    rest: &'a [u8],
    left: u16,
}

fn read_record<'a>(whole: &'a [u8], i: &'a [u8]) -> PResult<'a, Record<'a>> {
    let (i, name) = Name::read(whole, i)?;
    let (i, record_type) = be_u16(i).map(|(i, number)| (i, RecordType(number)))?;
    let (i, class) = be_u16(i)?;
    let (i, ttl) = be_u32(i)?;
    let (i, len) = be_u16(i)?;
    let data_start = i;
    let (rest, octets) = crate::error::take(len.into())(i)?;
    let data = match (record_type, octets.len()) {
        (RecordType::A, 4) => array(octets).map(|(_, a)| Data::Ipv4(Ipv4Addr::from(a)))?,
        (RecordType::AAAA, 16) => array(octets).map(|(_, a)| Data::Ipv6(Ipv6Addr::from(a)))?,
        (RecordType::CNAME | RecordType::DNAME | RecordType::NS | RecordType::PTR, _) => {
            Name::read(whole, data_start).map(|(_, name)| Data::Name(name))?
        }
        _ => Data::Octets(Octets(octets)),
    };
    let record = Record {
        name,
        record_type,
        class,
        ttl,
        data,
    };
    Ok((rest, record))
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (whole, part) = (self.octets, self.rest);
        match located("DNS record", whole, part, |i| read_record(whole, i)) {
            Ok((rest, record)) => {
                self.rest = rest;
                Some(Ok(record))
            }
            Err(error) => {
                self.left = 0;
                Some(Err(error))
            }
        }
    }
}

/// Whether a UDP payload is DNS: a standard query with one good question and nothing that
/// a query does not have, or a response to one. The header holds little that is constant,
/// so responses without a good question are `Unsure` at best.
pub fn recognise(octets: &[u8]) -> Verdict {
    let Ok(message) = Message::parse(octets) else {
        return Verdict::NotOurs;
    };
    let flags = message.flags;
    if flags.opcode() != 0 || flags.is_reserved_set() || message.question_count > 1 {
        return Verdict::NotOurs;
    }
    if !flags.is_response()
        && (message.answer_count != 0 || message.additional_count > 2 || flags.0 & 0x000f != 0)
    {
        return Verdict::NotOurs;
    }
    match message.questions().next() {
        Some(Ok(question)) if question.class == 1 && question.record_type.name().is_some() => {
            Verdict::Certain
        }
        Some(Ok(_)) => Verdict::Unsure,
        None if flags.is_response() && flags.response_code() != ResponseCode::NOERROR => {
            Verdict::Unsure
        }
        Some(Err(_)) | None => Verdict::NotOurs,
    }
}

#[cfg(test)]
mod tests;
