//! Time as the capture tells it. Nothing in the walk asks the machine's clock.

use std::fmt;
use std::ops::{Add, Sub};

mod stamp;

pub use stamp::Stamp;

/// Nanoseconds since 1970-01-01 00:00:00 UTC, as a capture recorded them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A span of capture time in nanoseconds; negative where a capture runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub i64);

impl Timestamp {
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);

    /// From seconds and nanoseconds.
    pub const fn from_parts(seconds: i64, nanoseconds: u32) -> Self {
        Self(
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(nanoseconds as i64),
        )
    }

    /// Reads RFC 3339 in UTC (`2026-11-22T10:00:00.5Z`, the `Z` and the time of day may be
    /// missing) or seconds since 1970 with fraction.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(seconds) = Self::parse_decimal(text) {
            return Some(seconds);
        }
        let text = text.trim_end_matches(['Z', 'z']);
        let (date, time) = text
            .split_once(['T', 't', ' '])
            .unwrap_or((text, "00:00:00"));
        let mut parts = date.splitn(3, '-').map(str::parse::<i64>);
        let (year, month, day) = (
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next()?.ok()?,
        );
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1900..=9999).contains(&year)
        {
            return None;
        }
        let mut clock = time.splitn(3, ':');
        let hour: i64 = clock.next()?.parse().ok()?;
        let minute: i64 = clock.next()?.parse().ok()?;
        let Self(rest) = Self::parse_decimal(clock.next().unwrap_or("0"))?;
        // Civil date to days, years beginning in March (Howard Hinnant's algorithm).
        let (y, m) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
        let days =
            era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
        let seconds = days * 86_400 + hour * 3600 + minute * 60;
        Some(Self(seconds.checked_mul(1_000_000_000)?.checked_add(rest)?))
    }

    fn parse_decimal(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let plain = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(fraction) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let nanos: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        Some(Self(
            seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?,
        ))
    }

    /// The span from `earlier` to this time.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// A span of whole milliseconds.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// A span of whole seconds.
    pub const fn from_secs(s: i64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }

    /// Whole milliseconds, rounded towards zero.
    pub const fn as_millis(self) -> i64 {
        self.0 / 1_000_000
    }

    /// Seconds with fraction, for display.
    #[expect(
        clippy::cast_precision_loss,
        reason = "shown with millisecond precision only"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for Span {
    /// `250 ms`, `4.02 s`, `2 min 45 s`: what a person reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_millis();
        let s = ms / 1000;
        match ms.abs() {
            0..=999 => write!(f, "{ms} ms"),
            1000..=99_999 => {
                let text = format!("{:.2}", self.as_secs_f64());
                write!(f, "{} s", text.trim_end_matches('0').trim_end_matches('.'))
            }
            100_000..=7_199_999 => write!(f, "{} min {} s", s / 60, (s % 60).abs()),
            _ => write!(f, "{} h {} min", s / 3600, (s / 60 % 60).abs()),
        }
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        self.since(earlier)
    }
}

/// A civil UTC date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year, proleptic Gregorian.
    pub year: i64,
    /// Month, 1..=12.
    pub month: u8,
    /// Day, 1..=31.
    pub day: u8,
    /// Hour, minute, second.
    pub time: (u8, u8, u8),
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

impl From<Timestamp> for Civil {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "every value is reduced by a modulus first"
    )]
    fn from(at: Timestamp) -> Self {
        let seconds = at.0.div_euclid(1_000_000_000);
        let nanoseconds = at.0.rem_euclid(1_000_000_000) as u32;
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days to civil date after Howard Hinnant's algorithm: years begin in March.
        let z = days + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Self {
            year: yoe + era * 400 + i64::from(month <= 2),
            month: month as u8,
            day: (doy - (153 * mp + 2) / 5 + 1) as u8,
            time: (
                (second / 3600) as u8,
                (second / 60 % 60) as u8,
                (second % 60) as u8,
            ),
            nanoseconds,
        }
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, nanoseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = Civil::from(*self);
        let (h, m, s) = c.time;
        write!(
            f,
            "{:04}-{:02}-{:02}T{h:02}:{m:02}:{s:02}.{:09}Z",
            c.year, c.month, c.day, c.nanoseconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_with_nanoseconds() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            Timestamp::from_parts(951_827_696, 789).to_string(),
            "2000-02-29T12:34:56.000000789Z"
        );
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn parses_what_it_prints() {
        for ns in [0, 1_700_000_000_123_456_789, 951_827_696_000_000_000] {
            let time = Timestamp(ns);
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }
        assert_eq!(Timestamp::parse("12.5"), Some(Timestamp(12_500_000_000)));
        assert_eq!(Timestamp::parse("2026-13-01"), None);
        assert_eq!(Timestamp::parse("soon"), None);
    }

    #[test]
    fn spans_read_like_speech() {
        assert_eq!(Span::from_millis(250).to_string(), "250 ms");
        assert_eq!(Span::from_millis(4020).to_string(), "4.02 s");
        assert_eq!(Span::from_secs(165).to_string(), "2 min 45 s");
    }
}
