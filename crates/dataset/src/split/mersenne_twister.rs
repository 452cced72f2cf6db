//! The Mersenne Twister as NumPy's legacy `RandomState` uses it, for splits and samples that were made with it.

/// The number of words of the state.
const WORDS: usize = 624;
/// The distance of the words that are combined.
const DISTANCE: usize = 397;

/// MT19937 (Matsumoto and Nishimura 1998). All other random numbers come from the `random` crate.
#[derive(Debug)]
pub struct MersenneTwister {
    state: [u32; WORDS],
    position: usize,
}

impl MersenneTwister {
    /// Returns the generator of `numpy.random.RandomState(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for index in 1..WORDS {
            let before = state[index - 1];
            state[index] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(index as u32);
        }
        Self { state, position: WORDS }
    }

    fn bits(&mut self) -> u32 {
        if self.position == WORDS {
            self.twist();
        }
        let mut word = self.state[self.position];
        self.position += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn twist(&mut self) {
        for index in 0..WORDS {
            let joined = (self.state[index] & 0x8000_0000) | (self.state[(index + 1) % WORDS] & 0x7fff_ffff);
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + DISTANCE) % WORDS] ^ (joined >> 1) ^ odd;
        }
        self.position = 0;
    }

    /// Samples uniformly from `0..=max`, as `RandomState.randint`: masked bits, rejected while they are larger.
    pub fn up_to(&mut self, max: u32) -> u32 {
        let mask = max.checked_ilog2().map_or(0, |bits| u32::MAX >> (31 - bits));
        loop {
            let value = self.bits() & mask;
            if value <= max {
                return value;
            }
        }
    }

    /// Shuffles the items as `RandomState.shuffle`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.up_to(last as u32) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_thousandth_number_is_that_of_the_c_standard_library() {
        // `std::mt19937` is required to produce it with its default seed.
        let mut generator = MersenneTwister::new(5489);
        let last = (0..10_000).map(|_| generator.bits()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn the_mask_covers_the_maximum() {
        let mut generator = MersenneTwister::new(1);
        for max in [0, 1, 2, 3, 4, 7, 8, u32::MAX] {
            let largest = (0..200).map(|_| generator.up_to(max)).max().unwrap();
            assert!(largest <= max && (max > 8 || largest == max), "{max}: {largest}");
        }
    }
}
