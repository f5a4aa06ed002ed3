//! A metric's period, and its ISO 8601 text.

use crate::domain::date::digits;

/// A metric's period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Period {
    /// `PT1M` to `PT12H`: whole minutes, a divisor of 24 hours.
    Minutes(u16),
    /// `P1D`.
    Day,
    /// `P1W`.
    Week,
    /// `P1M`.
    Month,
    /// `P3M`.
    Quarter,
    /// `P1Y`.
    Year,
}

const DAY_MINUTES: i64 = 1_440;

impl Period {
    /// None where the text is not one of the periods there are.
    pub fn parse(iso8601: &str) -> Option<Period> {
        match iso8601 {
            "P1D" => Some(Period::Day),
            "P1W" => Some(Period::Week),
            "P1M" => Some(Period::Month),
            "P3M" => Some(Period::Quarter),
            "P1Y" => Some(Period::Year),
            text => minutes(text.strip_prefix("PT")?).map(Period::Minutes),
        }
    }

    /// ISO 8601, the one way it is written: `PT15M`, `PT2H`, `PT90M`, `P1D`.
    pub fn text(self) -> String {
        match self {
            Period::Minutes(n) if n % 60 == 0 => format!("PT{}H", n / 60),
            Period::Minutes(n) => format!("PT{n}M"),
            Period::Day => "P1D".to_owned(),
            Period::Week => "P1W".to_owned(),
            Period::Month => "P1M".to_owned(),
            Period::Quarter => "P3M".to_owned(),
            Period::Year => "P1Y".to_owned(),
        }
    }
}

/// `15M`, `2H`, `1H30M`: 1 to 720 minutes, a divisor of 24 hours.
fn minutes(text: &str) -> Option<u16> {
    let (hours, rest) = match text.split_once('H') {
        Some((hours, rest)) => (digits(hours.as_bytes())?, rest),
        None => (0, text),
    };
    let minutes = match rest.strip_suffix('M') {
        Some(minutes) => digits(minutes.as_bytes())?,
        None if rest.is_empty() && !text.is_empty() => 0,
        None => return None,
    };
    let total = hours.checked_mul(60)?.checked_add(minutes)?;
    let divides = (1..=DAY_MINUTES / 2).contains(&total) && DAY_MINUTES % total == 0;
    divides.then(|| u16::try_from(total).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_period_is_read_back_from_its_text() {
        let minutes = (1..=720).filter(|n| 1_440 % n == 0).map(Period::Minutes);
        let longer = [Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year];
        let mut count = 0;
        for period in minutes.chain(longer) {
            assert_eq!(Period::parse(&period.text()), Some(period));
            count += 1;
        }
        assert_eq!(count, 35 + 5, "1,440 has 36 divisors, one of them 24 hours");
    }

    #[test]
    fn other_ways_of_writing_one() {
        for (text, minutes) in [("PT60M", 60), ("PT1H30M", 90), ("PT720M", 720), ("PT05M", 5), ("PT0H15M", 15)] {
            assert_eq!(Period::parse(text), Some(Period::Minutes(minutes)), "{text}");
        }
        assert_eq!(Period::Minutes(90).text(), "PT90M");
        assert_eq!(Period::Minutes(60).text(), "PT1H");
    }

    #[test]
    fn what_is_no_period() {
        for text in [
            "",
            "P",
            "PT",
            "PT0M",
            "PT7M",
            "PT24H",
            "PT1440M",
            "PT13H",
            "PT5H",
            "PT1S",
            "PT1.5H",
            "PT-1H",
            "PT+1H",
            "P1DT1H",
            "P2D",
            "P7D",
            "P2W",
            "P2M",
            "P12M",
            "P1Q",
            "pt1h",
            "PT1H ",
            "PTH",
            "PTM",
            "PT1HM",
            "PT1H30",
            "1H",
            "PT1M1H",
            "PT99999999999999999999H",
            "PT999999999999999999H",
            "PT١H",
        ] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
    }
}
