//! The generator behind `Random`, GUIDs and everything random that the engine makes.
//!
//! Owns: PCG32, the generator that Luau's `math.random` uses too. Does not own seeds of scripts.

use std::hash::{BuildHasher, Hasher, RandomState};

const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const INCREMENT: u64 = 105;

/// A stream of random numbers, the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Generator(u64);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let mut generator = Self(0);
        generator.next_u32();
        generator.0 = generator.0.wrapping_add(seed);
        generator.next_u32();
        generator
    }

    /// One that nobody can foretell.
    pub(crate) fn from_entropy() -> Self {
        Self::new(RandomState::new().build_hasher().finish())
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        let old = self.0;
        self.0 = old.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT | 1);
        #[expect(clippy::cast_possible_truncation, reason = "the output function takes the low half of each")]
        let (xorshifted, rotation) = ((((old >> 18) ^ old) >> 27) as u32, (old >> 59) as u32);
        xorshifted.rotate_right(rotation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_stream() {
        let take = |seed| {
            let mut generator = Generator::new(seed);
            [(); 4].map(|()| generator.next_u32())
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
        assert_ne!(Generator::from_entropy().next_u32(), Generator::from_entropy().next_u32());
    }

    #[test]
    fn a_clone_goes_on_where_the_original_is() {
        let mut first = Generator::new(5);
        first.next_u32();
        let mut second = first.clone();
        assert_eq!(first.next_u32(), second.next_u32());
    }
}
