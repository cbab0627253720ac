//! The bytes that go through the proxies: a text that repeats, of which any place can be made and checked
//! without a copy.

use std::rc::Rc;

/// A prime, so that no proxy's buffer size divides it and a buffer sent twice or left out is seen.
const LENGTH: usize = 1_000_003;

/// An endless text made of one piece over and over.
#[derive(Debug, Clone)]
pub(crate) struct Cycle(Rc<[u8]>);

impl Cycle {
    /// Noise that no compression and no luck gets through.
    pub(crate) fn noise() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        Self((0..LENGTH).map(|_| next()).collect())
    }

    /// Exactly `piece`, over and over.
    pub(crate) fn of(piece: Vec<u8>) -> Self {
        Self(piece.into())
    }

    /// What stands at `position`, up to the end of the piece and to `limit` bytes; never empty unless `limit` is 0.
    pub(crate) fn at(&self, position: u64, limit: usize) -> &[u8] {
        let start = (position % self.0.len() as u64) as usize;
        let end = self.0.len().min(start.saturating_add(limit));
        &self.0[start..end]
    }

    /// Whether `data` is what stands at `position`.
    pub(crate) fn holds(&self, mut position: u64, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let expected = self.at(position, data.len());
            if !data.starts_with(expected) {
                return false;
            }
            data = &data[expected.len()..];
            position += expected.len() as u64;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_recognised_across_the_seam_and_one_wrong_bit_is_seen() {
        let noise = Cycle::noise();
        let near_the_seam = LENGTH as u64 - 10;
        let mut data = [noise.at(near_the_seam, 100), noise.at(0, 90)].concat();
        assert_eq!(data.len(), 100);
        assert!(noise.holds(near_the_seam, &data));
        assert!(!noise.holds(near_the_seam + 1, &data));
        data[99] ^= 1;
        assert!(!noise.holds(near_the_seam, &data));
    }
}
