//! The keyed hash that places flows in the table.

use super::key::Key;

/// A secret that whoever sends the packets must not know: with it, tuples that collide could be made at will.
///
/// The hash is NH (Black et al., "UMAC", CRYPTO '99; RFC 4418, section 5.2), which is provably almost universal: over
/// the choice of the secret, any two tuples meet with a chance of 2^-64. A keyed multiplication mixes its 128 bits.
#[derive(Clone, Copy)]
pub struct HashKey {
    secret: [u64; 8],
}

impl HashKey {
    /// A fresh secret from the operating system.
    pub fn random() -> Result<HashKey, getrandom::Error> {
        let mut secret = [0; 8];
        for word in &mut secret {
            *word = getrandom::u64()?;
        }
        Ok(HashKey { secret })
    }

    /// A secret known beforehand, for tests.
    pub fn from_seed(seed: u64) -> HashKey {
        let mut state = seed;
        let secret = std::array::from_fn(|_| {
            // SplitMix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        });
        HashKey { secret }
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &Key) -> u32 {
        let (w, k) = (key.words(), &self.secret);
        let product = |a: u64, b: u64| u128::from(a).wrapping_mul(u128::from(b));
        let sum = product(w[0].wrapping_add(k[0]), w[2].wrapping_add(k[2]))
            .wrapping_add(product(w[1].wrapping_add(k[1]), w[3].wrapping_add(k[3])))
            .wrapping_add(product(w[4].wrapping_add(k[4]), k[5]));
        let mixed = product(sum as u64 ^ k[6], (sum >> 64) as u64 ^ k[7]);
        ((mixed >> 64) as u64 ^ mixed as u64) as u32
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(secret)")
    }
}
