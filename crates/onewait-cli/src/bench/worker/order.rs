//! Which block comes next: a random order in which no block comes twice before all have come.
//!
//! Drawing with replacement would hit more and more pages that the same run has read already, and the faster side
//! would hit more of them.

/// A random permutation of the blocks of a file, made as it is walked.
#[derive(Debug)]
pub(super) struct Order {
    blocks: u64,
    /// Bits that hold every block number.
    bits: u32,
    key: u64,
    next: u64,
    again: bool,
}

impl Order {
    /// All of `blocks`; and, if `again`, all of them in another order after that, for ever.
    pub(super) fn new(blocks: u64, seed: u64, again: bool) -> Order {
        let bits = (64 - blocks.saturating_sub(1).leading_zeros()).max(2);
        Order { blocks, bits, key: mix(seed), next: 0, again }
    }

    /// The next block, or none when all have come.
    pub(super) fn next(&mut self) -> Option<u64> {
        loop {
            if self.next >> self.bits != 0 {
                if !self.again {
                    return None;
                }
                self.key = mix(self.key);
                self.next = 0;
            }
            let block = self.place(self.next);
            self.next += 1;
            // The power of two above the number of blocks is walked, and the blocks that do not exist are left out:
            // fewer than half of them.
            if block < self.blocks {
                return Some(block);
            }
        }
    }

    /// A bijection on `bits` bits: each step (an odd factor, a shift to the right, an addition) can be undone.
    fn place(&self, number: u64) -> u64 {
        let mask = (1 << self.bits) - 1;
        let shift = self.bits.div_ceil(2);
        let mut x = number.wrapping_add(self.key) & mask;
        for round in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53, 0x9e37_79b9_7f4a_7c15] {
            x = x.wrapping_mul(round) & mask;
            x ^= x >> shift;
            x = x.wrapping_add(self.key >> 17) & mask;
        }
        x
    }
}

/// Fills `bytes` with what no disk compresses.
pub(in crate::bench) fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = mix(seed) | 1;
    for piece in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        piece.copy_from_slice(&state.to_ne_bytes()[..piece.len()]);
    }
}

/// Spreads a seed over all 64 bits (splitmix64).
fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_block_comes_twice_in_a_pass() {
        for blocks in [1, 2, 3, 4, 5, 1000, 4096, 5001] {
            for seed in 0..5 {
                let mut order = Order::new(blocks, seed, false);
                let mut seen: Vec<u64> = std::iter::from_fn(|| order.next()).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..blocks).collect::<Vec<_>>(), "{blocks} blocks, seed {seed}");
            }
        }
    }

    #[test]
    fn neighbours_are_rare() {
        let mut order = Order::new(100_000, 7, false);
        let blocks: Vec<u64> = std::iter::from_fn(|| order.next()).collect();
        let near = blocks.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 8).count();
        assert!(near < 200, "{near} of 100000 steps go to a neighbour");
    }

    #[test]
    fn a_second_pass_follows_where_it_is_wanted() {
        let mut order = Order::new(100, 1, true);
        assert!((0..1000).all(|_| order.next().is_some_and(|block| block < 100)));
    }

    #[test]
    fn noise_has_no_pattern() {
        let mut bytes = vec![0; 1 << 16];
        fill(&mut bytes, 3);
        let mut counts = [0_u32; 256];
        bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        assert!(counts.iter().all(|count| (150..400).contains(count)), "{counts:?}");
    }
}
