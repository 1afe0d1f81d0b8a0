//! Address ranges and ports in rules. IPv4 is handled as mapped IPv6 throughout, as the kernel stores it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Bits before the IPv4 address in a mapped address (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u32 = 96;

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: u128,
    bits: u32,
}

/// Why a text is not an address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not `address` or `address/bits`.
    #[error("an address range is written as `10.20.0.0/16`, `2001:db8::/32` or a single address")]
    Malformed,
    /// More bits than the address has.
    #[error("a prefix has at most {max} bits here")]
    TooManyBits {
        /// 32 or 128
        max: u32,
    },
    /// Bits are set beyond the prefix.
    #[error("the address has bits beyond its prefix")]
    HostBits {
        /// What was probably meant
        network: String,
    },
}

impl Cidr {
    /// Reads a range.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| CidrError::Malformed)?;
        let (max, offset) = if address.is_ipv4() {
            (32, MAPPED_BITS)
        } else {
            (128, 0)
        };
        let bits = match bits {
            None => max,
            Some(digits)
                if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                digits.parse().map_err(|_| CidrError::TooManyBits { max })?
            }
            Some(_) => return Err(CidrError::Malformed),
        };
        if bits > max {
            return Err(CidrError::TooManyBits { max });
        }
        let range = Self {
            network: mapped(address) & mask(offset + bits),
            bits: offset + bits,
        };
        if range.network != mapped(address) {
            return Err(CidrError::HostBits {
                network: range.to_string(),
            });
        }
        Ok(range)
    }

    /// Whether an address is in it. `::/0` holds every address, IPv4 included.
    pub fn contains(&self, ip: IpAddr) -> bool {
        mapped(ip) & mask(self.bits) == self.network
    }

    /// Whether every address of `other` is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && other.network & mask(self.bits) == self.network
    }

    /// Mapped address in network order, and the length of the prefix in it.
    pub fn mapped_prefix(&self) -> ([u8; 16], u32) {
        (self.network.to_be_bytes(), self.bits)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.network);
        match address.to_ipv4_mapped() {
            Some(v4) if self.bits >= MAPPED_BITS => write!(f, "{v4}/{}", self.bits - MAPPED_BITS),
            _ => write!(f, "{address}/{}", self.bits),
        }
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0)
}

fn mapped(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4).to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// An address as the kernel stores it: IPv4 as mapped IPv6, network order.
pub fn mapped_octets(ip: IpAddr) -> [u8; 16] {
    mapped(ip).to_be_bytes()
}

/// Ports from first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// First port
    pub first: u16,
    /// Last port, inclusive
    pub last: u16,
}

/// A text that is neither a port nor a range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a port is a number from 1 to 65535, or a range such as `8000-8100`")]
pub struct PortError;

impl PortRange {
    /// Every port.
    pub const ANY: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// Reads a port or a range.
    pub fn parse(text: &str) -> Result<Self, PortError> {
        let port = |digits: &str| match digits.trim().parse::<u16>() {
            Ok(port) if port != 0 && !digits.starts_with('+') => Ok(port),
            _ => Err(PortError),
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first > last {
            Err(PortError)
        } else {
            Ok(Self { first, last })
        }
    }

    /// Whether a port is in it.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// The ports that both have.
    pub fn shared(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }

    /// The same ports in as few ranges as possible: each range is an entry in the kernel.
    pub fn merged(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.sort_unstable();
        let mut merged: Vec<Self> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(kept) if range.first <= kept.last.saturating_add(1) => {
                    kept.last = kept.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
