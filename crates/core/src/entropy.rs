//! Randomness as the rules see it: handed in, so that a seed replays a run.
//!
//! Owns: the trait. Does not own: a generator.

/// A source of random bits.
pub trait Entropy: Send + Sync + std::fmt::Debug {
    /// 128 random bits: job ids and other names that must not repeat.
    fn bits(&self) -> u128;
}
