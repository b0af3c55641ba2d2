//! Times and sizes as people write them; what this process holds.

use std::time::Duration;

/// `30`, `30s`, `5m`, `2h`, `1d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, factor) = split(text, &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]);
    let seconds: f64 = number
        .parse()
        .map_err(|_| "not a time such as 30, 30s, 5m or 2h".to_string())?;
    Duration::try_from_secs_f64(seconds * f64::from(factor)).map_err(|error| error.to_string())
}

/// `4096`, `64k`, `64M`, `1G`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let factors = [
        ("k", 1 << 10),
        ("K", 1 << 10),
        ("M", 1 << 20),
        ("G", 1 << 30),
    ];
    let (number, factor) = split(text, &factors);
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(u64::from(factor)))
        .filter(|size| *size > 0)
        .ok_or_else(|| "not a size such as 4096, 64k, 64M or 1G".to_string())
}

/// A number of threads that makes sense.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=64).contains(number))
        .ok_or_else(|| "not a number from 1 to 64".to_string())
}

fn split<'a>(text: &'a str, units: &[(&str, u32)]) -> (&'a str, u32) {
    let found = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    found.unwrap_or((text, 1))
}

/// Octets of memory this process holds, where the system tells.
pub(super) fn resident_octets() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("-1").is_err() && duration("x").is_err() && duration("1e99").is_err());
        assert_eq!((size("64M"), size("9")), (Ok(64 << 20), Ok(9)));
        assert!(size("0").is_err() && size("-1").is_err() && size("99999999999999G").is_err());
    }
}
