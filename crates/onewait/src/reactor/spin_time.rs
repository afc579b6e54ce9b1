//! How long to look before sleeping, as people write it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The environment variable that says how long waits on a program's own epolls look before they sleep.
pub const SPIN_VARIABLE: &str = "ONEWAIT_SPIN";

/// A time of at most a millisecond: `50us`, `500ns`, `1ms`, `0`.
///
/// More would be of no use, since waking a processor takes less, and signals wait for its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpinTime(Duration);

/// What is no [`SpinTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSpinTime;

/// Units, and how many nanoseconds they have.
const UNITS: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000)];
const MOST: Duration = Duration::from_millis(1);

impl SpinTime {
    /// The time itself.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for SpinTime {
    type Err = NoSpinTime;

    fn from_str(text: &str) -> Result<SpinTime, NoSpinTime> {
        if text == "0" {
            return Ok(SpinTime::default());
        }
        let in_unit = |(name, size): (&str, u64)| text.strip_suffix(name).map(|number| (number, size));
        let (number, size) = UNITS.into_iter().find_map(in_unit).ok_or(NoSpinTime)?;
        let nanoseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(size)).ok_or(NoSpinTime)?;
        Some(Duration::from_nanos(nanoseconds)).filter(|time| *time <= MOST).map(SpinTime).ok_or(NoSpinTime)
    }
}

impl fmt::Display for SpinTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0.as_nanos())
    }
}

impl fmt::Display for NoSpinTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("say a time of at most 1ms, such as 50us")
    }
}

impl std::error::Error for NoSpinTime {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, nanoseconds) in
            [("0", 0), ("0us", 0), ("500ns", 500), ("50us", 50_000), ("20µs", 20_000), ("1ms", 1_000_000)]
        {
            let time: SpinTime = text.parse().unwrap();
            assert_eq!(time.duration(), Duration::from_nanos(nanoseconds), "{text}");
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn what_is_no_time_or_too_long_is_refused() {
        for text in [
            "",
            "50",
            "us",
            "-1us",
            "1.5us",
            "1 us",
            "1s",
            "2ms",
            "1000001ns",
            "99999999999999999999ms",
            "18446744073709551615ms",
        ] {
            assert_eq!(text.parse::<SpinTime>(), Err(NoSpinTime), "{text}");
        }
    }
}
