//! Wall time for people.
//!
//! Owns: the Gregorian calendar, in UTC. Does not own: any clock.

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// `2026-08-01 06:42:26.123 UTC`, from milliseconds since 1970.
pub(crate) fn utc(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / DAY_MS, unix_ms % DAY_MS);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03} UTC", ms % 1_000)
}

/// Year, month and day of the day with this number since 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin on 1 March here, so that a leap day is the last day of one; 719,468 days are 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_known() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000 UTC");
        assert_eq!(utc(951_827_696_789), "2000-02-29 12:34:56.789 UTC");
        assert_eq!(utc(1_767_225_599_999), "2025-12-31 23:59:59.999 UTC");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01 00:00:00.000 UTC");
    }
}
