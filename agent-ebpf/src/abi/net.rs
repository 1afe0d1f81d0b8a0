//! Addresses of sockets, as the kernel looks them up: the keys of the trie, and a set of them by how they begin.

/// Address ranges in both slots; allocated on demand.
pub const NETS_MAX: u32 = 65_536;

/// Data part of the address trie's key; IPv4 is stored as mapped IPv6 (`::ffff:a.b.c.d`), a virtual socket as its
/// number and its port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetKey {
    /// [`net_space`], big-endian so that it is the top of the prefix
    pub space_be: [u8; 4],
    /// Address, network order
    pub addr: [u8; 16],
}

/// Prefix bits that the space takes in a [`NetKey`].
pub const NET_SPACE_BITS: u32 = 32;
/// Internet addresses.
pub const NET_INTERNET: u32 = 0;
/// Virtual sockets.
pub const NET_VSOCK: u32 = 1;

/// Slot and kind of address of a [`NetKey`].
#[inline(always)]
pub const fn net_space(slot: u32, kind: u32) -> u32 {
    kind << 1 | slot
}

/// Words of one half of [`NetBits`]: a bit for each number that the first 16 bits of an address can have.
const NET_WORDS: usize = (1 << 16) / 64;

/// A set of internet addresses by how they begin. In the map `UNRULED_NETS` it is those that no entry has, see
/// [`super::image::ACTIVE_UNRULED`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NetBits {
    /// IPv4, then IPv6, see [`net_bit`]
    pub words: [u64; 2 * NET_WORDS],
}

impl Default for NetBits {
    /// None.
    fn default() -> Self {
        Self {
            words: [0; 2 * NET_WORDS],
        }
    }
}

impl NetBits {
    /// Notes a range of (mapped) IPv6 addresses.
    pub fn set(&mut self, network: u128, bits: u32) {
        /// Bits before the IPv4 address in a mapped one, and what they are.
        const MAPPED_BITS: u32 = 96;
        const MAPPED: u128 = 0xffff << 32;
        let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
        if bits >= MAPPED_BITS && network & !0xffff_ffff == MAPPED {
            let v4 = (network & 0xffff_ffff) as u32;
            self.fill(0, (v4 >> 16) as u16, bits - MAPPED_BITS);
            return;
        }
        self.fill(NET_WORDS, (network >> 112) as u16, bits);
        if bits < MAPPED_BITS && MAPPED & mask == network {
            self.fill(0, 0, 0);
        }
    }

    /// Sets the bit of every beginning that has the same first `bits`.
    fn fill(&mut self, base: usize, first: u16, bits: u32) {
        let count = 1usize << 16u32.saturating_sub(bits);
        let (word, bit) = net_bit(first);
        let words = self.words.iter_mut().skip(base + word);
        // Fewer than a word's are in one word, because their first one is a multiple of their number.
        let run = if count < 64 {
            bit * ((1 << count) - 1)
        } else {
            u64::MAX
        };
        words.take(count.div_ceil(64)).for_each(|word| *word |= run);
    }

    /// Takes out what `other` has.
    pub fn take_out(&mut self, other: &Self) {
        let pairs = self.words.iter_mut().zip(&other.words);
        pairs.for_each(|(word, other)| *word &= !other);
    }

    /// All that are not in this one, but for those that begin with zeroes, which have other meanings, too: as IPv6 they
    /// may be mapped ones, and `0.0.0.0` may be this host.
    #[must_use]
    pub fn others(&self) -> Self {
        let mut others = Self {
            words: self.words.map(|word| !word),
        };
        let (_, zeroes) = net_bit(0);
        let firsts = others.words.iter_mut().step_by(NET_WORDS);
        firsts.for_each(|word| *word &= !zeroes);
        others
    }

    /// Whether an address that begins so may be in it.
    #[must_use]
    pub fn may_have(&self, address: u128) -> bool {
        let is_v4 = address >> 32 == 0xffff;
        let (base, beginning) = if is_v4 {
            (0, (address >> 16 & 0xffff) as u16)
        } else {
            (NET_WORDS, (address >> 112) as u16)
        };
        let (word, bit) = net_bit(beginning);
        self.words
            .get(base + word)
            .is_none_or(|word| word & bit != 0)
    }
}

impl core::fmt::Debug for NetBits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let set: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        write!(f, "NetBits({set} set)")
    }
}

/// Word of the first IPv6 bit.
pub const NET_BITS_V6: usize = NET_WORDS;

/// Word and bit of an address's first 16 bits.
#[inline(always)]
pub const fn net_bit(beginning: u16) -> (usize, u64) {
    ((beginning >> 6) as usize, 1 << (beginning & 63))
}

const _: () = assert!(size_of::<NetKey>() == 20);
const _: () = assert!(size_of::<NetBits>() == 16384);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_range_has_its_bit() {
        let address = |text: &str| match text.parse::<core::net::IpAddr>().unwrap() {
            core::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            core::net::IpAddr::V6(v6) => v6.to_bits(),
        };
        for (network, bits, inside, outside) in [
            (
                "10.20.0.0",
                96 + 16,
                &["10.20.255.1"][..],
                &["10.21.0.1", "2001:db8::1", "::1"][..],
            ),
            (
                "10.0.0.0",
                96 + 8,
                &["10.0.0.1", "10.255.0.1"],
                &["11.0.0.0", "a00::1"],
            ),
            ("10.1.2.3", 128, &["10.1.2.3"], &["10.2.2.3"]),
            ("0.0.0.0", 96, &["255.255.255.255", "0.0.0.0"], &["ffff::1"]),
            ("2001:db8::", 32, &["2001:db8::1"], &["2002::1", "32.1.0.1"]),
            ("::1", 128, &["::1"], &["0.0.0.1", "1::"]),
            ("::", 0, &["::1", "10.0.0.1", "ffff::"], &[]),
            ("::", 1, &["::1", "10.0.0.1"], &["8000::"]),
            ("::ffc0:0:0", 90, &["10.0.0.1"], &["1::"]),
            ("fe80::", 10, &["fe80::1", "febf::1"], &["fec0::1"]),
        ] {
            let mut set = NetBits::default();
            set.set(address(network), bits);
            for text in inside {
                assert!(set.may_have(address(text)), "{text} in {network}/{bits}");
            }
            for text in outside {
                assert!(!set.may_have(address(text)), "{text} in {network}/{bits}");
            }
            let others = set.others();
            for text in inside {
                assert!(!others.may_have(address(text)), "{text}");
            }
            for text in ["0.0.0.0", "0.0.2.3", "::", "::1", "::10.0.0.1"] {
                assert!(!others.may_have(address(text)), "{text} begins with zeroes");
            }
        }
    }
}
