//! SipHash-2-4 fed by 64-bit words, in a shape that the BPF verifier accepts.
//!
//! Used with the boot secret for names (64 bits) and for action digests (128 bits). An own implementation
//! because a kernel program can use neither slices of unknown length nor a crate's buffering; the tests hold
//! it against an independent implementation.

/// Running state; `wide` selects the 128-bit variant of the reference implementation.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sip {
    v: [u64; 4],
    wide: u64,
}

impl Sip {
    /// Starts a 64-bit hash.
    #[inline(always)]
    pub const fn narrow(key: [u64; 2]) -> Self {
        Self::start(key, false)
    }

    /// Starts a 128-bit hash.
    #[inline(always)]
    pub const fn wide(key: [u64; 2]) -> Self {
        Self::start(key, true)
    }

    #[inline(always)]
    const fn start([k0, k1]: [u64; 2], wide: bool) -> Self {
        // The four constants are "somepseudorandomlygeneratedbytes" (SipHash paper, section 2.1).
        let v1 = k1 ^ 0x646f_7261_6e64_6f6d;
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                if wide { v1 ^ 0xee } else { v1 },
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            wide: wide as u64,
        }
    }

    #[inline(always)]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }

    /// Takes in one little-endian word of eight bytes.
    #[inline(always)]
    pub fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
    }

    /// The rounds after the last word. The variant is reckoned with and not asked for: the verifier would follow
    /// both answers to the end of the program.
    #[inline(always)]
    fn close(&mut self) {
        self.v[2] ^= 0xff ^ self.wide.wrapping_mul(0x11);
        self.round();
        self.round();
        self.round();
        self.round();
    }

    #[inline(always)]
    fn fold(&self) -> u64 {
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }

    /// Ends a 64-bit hash whose last word was [`last_word`].
    #[inline(always)]
    pub fn finish(mut self) -> u64 {
        self.close();
        self.fold()
    }

    /// Ends a 128-bit hash whose last word was [`last_word`].
    #[inline(always)]
    pub fn finish_wide(mut self) -> [u64; 2] {
        self.close();
        let low = self.fold();
        self.v[1] ^= 0xdd;
        self.round();
        self.round();
        self.round();
        self.round();
        [low, self.fold()]
    }
}

/// The last word of every hash: its last 0 to 7 bytes and its total length, as the algorithm prescribes. The caller
/// knows the length: a counter in [`Sip`] would be a constant that the verifier follows through every loop exit.
#[inline(always)]
pub const fn last_word(tail: u64, total_len: u64) -> u64 {
    ((total_len & 0xff) << 56) | tail
}

/// Hash of one path component as the kernel computes it; host side.
pub fn hash_name(secret: [u64; 2], name: &[u8]) -> u64 {
    let mut sip = Sip::narrow(secret);
    let mut chunks = name.chunks_exact(8);
    for chunk in &mut chunks {
        sip.word(
            chunk
                .iter()
                .rev()
                .fold(0, |word, byte| (word << 8) | u64::from(*byte)),
        );
    }
    let rest = chunks.remainder();
    let tail = rest
        .iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte));
    sip.word(last_word(tail, name.len() as u64));
    sip.finish()
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher as _;

    use proptest::prelude::*;
    use siphasher::{
        sip::SipHasher24,
        sip128::{Hasher128 as _, SipHasher24 as Wide},
    };

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_an_independent_implementation(k0: u64, k1: u64, name in proptest::collection::vec(any::<u8>(), 0..256)) {
            let mut other = SipHasher24::new_with_keys(k0, k1);
            other.write(&name);
            prop_assert_eq!(hash_name([k0, k1], &name), other.finish());
        }

        #[test]
        fn wide_digest_agrees_with_an_independent_implementation(k0: u64, k1: u64, words in proptest::collection::vec(any::<u64>(), 0..40)) {
            let mut other = Wide::new_with_keys(k0, k1);
            let mut own = Sip::wide([k0, k1]);
            for word in &words {
                other.write(&word.to_le_bytes());
                own.word(*word);
            }
            let expected = other.finish128();
            own.word(last_word(0, words.len() as u64 * 8));
            prop_assert_eq!(own.finish_wide(), [expected.h1, expected.h2]);
        }
    }
}
