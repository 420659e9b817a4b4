//! The figures of the status line.
//!
//! Owns: tick times since the last line, and the line's text. Does not own: when it is printed, the store's own figures
//! (`clawstore::GameStats`).

use std::time::Duration;

use clawstore::GameStats;

#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Time in Luau per tick since the last line: all handlers and resumes.
    ticks: Vec<Duration>,
    saves: u64,
}

impl Figures {
    pub(super) fn tick(&mut self, busy: Duration) {
        self.ticks.push(busy);
    }

    /// The line about the last `period`; the next one begins here.
    pub(super) fn line(&mut self, players: usize, stats: &GameStats, period: Duration) -> String {
        self.ticks.sort_unstable();
        let index = (self.ticks.len() * 99).div_ceil(100).saturating_sub(1);
        let p99 = self.ticks.get(index).copied().unwrap_or_default();
        self.ticks.clear();
        let saves = (stats.saves - self.saves) as f64 / period.as_secs_f64().max(0.001);
        self.saves = stats.saves;
        let durable = match stats.durable_us {
            (0, _) => "-".to_owned(),
            (p50, p99) => format!("p50 {} p99 {} ms", ms(p50), ms(p99)),
        };
        format!(
            "{players} player{} | tick p99 {} ms | {} in flight | {saves:.0} saves/s | durable {durable}",
            if players == 1 { "" } else { "s" },
            ms(u64::try_from(p99.as_micros()).unwrap_or(u64::MAX)),
            stats.in_flight
        )
    }
}

/// Microseconds as milliseconds, as short as they are worth reading.
fn ms(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_about_its_own_second() {
        let mut figures = Figures::default();
        (1..=100).for_each(|ms| figures.tick(Duration::from_millis(ms)));
        let stats = GameStats { in_flight: 2, saves: 30, durable_us: (1_250, 15_400), ..GameStats::default() };
        let line = figures.line(3, &stats, Duration::from_secs(2));
        assert_eq!(line, "3 players | tick p99 99 ms | 2 in flight | 15 saves/s | durable p50 1.25 p99 15 ms");
        let stats = GameStats { saves: 30, ..GameStats::default() };
        let line = figures.line(1, &stats, Duration::from_secs(1));
        assert_eq!(line, "1 player | tick p99 0.00 ms | 0 in flight | 0 saves/s | durable -");
    }
}
