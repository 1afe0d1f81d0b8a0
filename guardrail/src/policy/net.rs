//! Address ranges and ports in rules. IPv4 is handled as mapped IPv6 throughout, as the kernel stores it.

use stayhand_agent_ebpf::abi::image::NAME_BYTES;
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
    /// Every address.
    pub const EVERY: Self = Self {
        network: 0,
        bits: 0,
    };

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

/// A protocol of internet sockets, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

/// A text that is no protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a protocol is one of `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, `udplite`, `dccp`, or a number from 1 to 255"
)]
pub struct ProtocolError;

impl Protocol {
    /// Multipath TCP, too
    pub const TCP: Self = Self(6);
    /// Not UDP-Lite
    pub const UDP: Self = Self(17);

    /// Those that have a name (include/uapi/linux/in.h).
    pub const NAMED: [(&str, Self); 7] = [
        ("tcp", Self::TCP),
        ("udp", Self::UDP),
        ("icmp", Self(1)),
        ("icmpv6", Self(58)),
        ("sctp", Self(132)),
        ("udplite", Self(136)),
        ("dccp", Self(33)),
    ];

    /// Reads a name or a number.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        if let Some((_, known)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*known);
        }
        match text.parse::<u8>() {
            Ok(number) if number != 0 && !text.starts_with('+') => Ok(Self(number.into())),
            _ => Err(ProtocolError),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(_, known)| known == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "protocol {}", self.0),
        }
    }
}

/// Names of unix sockets that have no file: one, or all that begin with a text. A covering one comes before those that
/// it covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern {
    /// The name, or its beginning
    pub bytes: Vec<u8>,
    /// Whether it is the whole name
    pub whole: bool,
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or more than the kernel takes.
    #[error("a name has 1 to {NAME_BYTES} bytes")]
    Length,
    /// A star that is not at the end.
    #[error("a name has one `*` at most, at its end")]
    Star,
    /// The sign of other tools.
    #[error("`@` is how tools show the NUL in front of a name; it is no part of it")]
    At,
}

impl NamePattern {
    /// Every name.
    pub const EVERY: Self = Self {
        bytes: vec![],
        whole: false,
    };

    /// Reads a name, or a beginning with `*`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (name, whole) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, false),
            None => (text, true),
        };
        if name.contains('*') {
            return Err(NameError::Star);
        }
        if name.starts_with('@') {
            return Err(NameError::At);
        }
        if name.len() > NAME_BYTES || text.is_empty() {
            return Err(NameError::Length);
        }
        Ok(Self {
            bytes: name.as_bytes().to_vec(),
            whole,
        })
    }

    /// Whether it is this name.
    pub fn matches(&self, name: &[u8]) -> bool {
        if self.whole {
            self.bytes == name
        } else {
            name.starts_with(&self.bytes)
        }
    }

    /// Whether every name of `other` is one of this.
    pub fn covers(&self, other: &Self) -> bool {
        self == other || !self.whole && other.bytes.starts_with(&self.bytes)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", crate::text::Safe(&self.bytes))?;
        f.write_str(if self.whole { "" } else { "*" })
    }
}

/// Virtual sockets: all, those of one machine, or one port of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VsockRange {
    /// The machine
    pub cid: Option<u32>,
    /// Its port; only where there is a machine
    pub port: Option<u32>,
}

impl VsockRange {
    /// Every port of every machine.
    pub const EVERY: Self = Self {
        cid: None,
        port: None,
    };

    /// Whether it has this address.
    pub fn contains(&self, cid: u32, port: u32) -> bool {
        self.cid.is_none_or(|own| own == cid) && self.port.is_none_or(|own| own == port)
    }

    /// Whether every address of `other` is one of this.
    pub fn covers(&self, other: &Self) -> bool {
        self.cid.is_none_or(|cid| other.cid == Some(cid))
            && self.port.is_none_or(|port| other.port == Some(port))
    }

    /// As the kernel stores it, in network order, and how many of its bits count.
    pub fn prefix(&self) -> (u128, u32) {
        let address = vsock_address(self.cid.unwrap_or(0), self.port.unwrap_or(0));
        let bits = match self {
            Self { cid: None, .. } => 0,
            Self { port: None, .. } => 32,
            Self { .. } => 64,
        };
        (address, bits)
    }
}

/// The address of a virtual socket as the kernel's trie has it.
pub fn vsock_address(cid: u32, port: u32) -> u128 {
    u128::from(cid) << 96 | u128::from(port) << 64
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
