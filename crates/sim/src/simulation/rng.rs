//! The one source of chance of a run.
//!
//! Owns: a generator whose numbers depend on the seed alone, for all releases (SplitMix64). Does not own: what is drawn.

use std::ops::Range;
use std::time::Duration;

/// Everything that a run leaves to chance comes from one of these, in one order.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed ^ 0x6a09_e667_f3bc_c909);
        // Neighbouring seeds begin alike.
        rng.draw();
        rng
    }

    /// 64 random bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// 128 random bits: fences and incarnations.
    pub fn bits(&mut self) -> u128 {
        u128::from(self.draw())
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.number(0..end as u64) as usize
    }

    /// A number of the range; its start if the range is empty.
    pub fn number(&mut self, range: Range<u64>) -> u64 {
        let span = range.end.saturating_sub(range.start).max(1);
        range.start + self.draw() % span
    }

    /// True this many times in 100.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }

    /// A duration of a range in microseconds.
    pub fn micros(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(self.number(range))
    }

    /// A duration of a range in milliseconds, to the microsecond.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        self.micros(range.start * 1_000..range.end * 1_000)
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = self.below(choices.len());
        &choices[at]
    }
}
