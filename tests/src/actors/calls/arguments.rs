//! Arguments of a call in words, and the memory that they point to.

use std::{
    ffi::CString,
    net::{SocketAddr, SocketAddrV4},
    os::fd::{AsRawFd as _, OwnedFd},
};

use crate::actors::sys::{self, Ret, c};

const EINVAL: Ret = -(libc::EINVAL as Ret);
/// Bytes that are mapped.
const PAGE: usize = 4096;

/// What the arguments of one call point to.
#[derive(Default)]
pub struct Memory {
    strings: Vec<CString>,
    words: Vec<Box<[u64]>>,
    /// Closed with it
    pub descriptors: Vec<OwnedFd>,
}

impl Memory {
    /// The value of an argument:
    ///
    /// | word | value |
    /// |---|---|
    /// | `/PATH`, `=TEXT` | a string |
    /// | `dir:PATH`, `fd:PATH`, `rw:PATH` | a descriptor: of the name only, to read, to write |
    /// | `name:PATH` | the name of a descriptor of a name |
    /// | `tmp:PATH` | the name of a descriptor of a new nameless file in a directory |
    /// | `map:PATH` | a page of a file, mapped to read |
    /// | `tcp`, `tcp6`, `udp`, `udp6`, `unix`, `sock:FAMILY:TYPE:PROTOCOL` | a socket |
    /// | `bound:ADDRESS:PORT` | a TCP socket that has taken this address |
    /// | `at:ADDRESS:PORT`, `unspec:ADDRESS:PORT` | a socket address; of no family |
    /// | `unix:PATH`, `abstract:NAME`, `vsock:CID:PORT` | a socket address; a `~` in a name is a NUL |
    /// | `unix-msg:PATH`, `plain-msg:HEX` | a message of one byte to a unix socket; of these bytes, without a destination |
    /// | `msg:ADDRESS:PORT`, `unspec-msg:…` | a message of one byte with that destination |
    /// | `w:N,N…`, `hex:…` | 64-bit words, bytes |
    /// | anything else | a number |
    pub fn argument(&mut self, word: &str) -> Result<libc::c_long, Ret> {
        if word.starts_with('/') {
            return Ok(self.string(word));
        }
        if let Some(text) = word.strip_prefix('=') {
            return Ok(self.string(text));
        }
        let stream = libc::SOCK_STREAM;
        match word {
            "tcp" => return self.keep(sys::socket(libc::AF_INET, stream, 0)),
            "tcp6" => return self.keep(sys::socket(libc::AF_INET6, stream, 0)),
            "udp" => return self.keep(sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)),
            "udp6" => return self.keep(sys::socket(libc::AF_INET6, libc::SOCK_DGRAM, 0)),
            "unix" => return self.keep(sys::socket(libc::AF_UNIX, stream, 0)),
            _ => {}
        }
        match word.split_once(':') {
            Some((kind, rest)) => self.pointed(kind, rest),
            None => word.parse().map_err(|_| EINVAL),
        }
    }

    fn pointed(&mut self, kind: &str, rest: &str) -> Result<libc::c_long, Ret> {
        let path = c(rest);
        match kind {
            "dir" => self.keep(sys::open(&path, libc::O_PATH, 0)),
            "fd" => self.keep(sys::open(&path, libc::O_RDONLY, 0)),
            "rw" => self.keep(sys::open(&path, libc::O_RDWR, 0)),
            "name" => self.descriptor_name(sys::open(&path, libc::O_PATH, 0)),
            "tmp" => {
                let flags = libc::O_TMPFILE | libc::O_RDWR;
                self.descriptor_name(sys::open(&path, flags, 0o600))
            }
            "map" => {
                let fd = self.keep(sys::open(&path, libc::O_RDONLY, 0))?;
                let (prot, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
                let (anywhere, start): (libc::c_long, libc::c_long) = (0, 0);
                let page = sys::call!(libc::SYS_mmap, anywhere, PAGE, prot, flags, fd, start);
                if page < 0 { Err(page) } else { Ok(page) }
            }
            "at" => Ok(self.words(socket_address(rest, true)?)),
            "unspec" => Ok(self.words(socket_address(rest, false)?)),
            "unix" => Ok(self.words(words_of(&unix_address(rest)))),
            "abstract" => {
                let name = format!("\0{}", rest.replace('~', "\0"));
                Ok(self.words(words_of(&unix_address(&name))))
            }
            "vsock" => Ok(self.words(words_of(&vsock_address(rest)?))),
            "sock" => {
                let numbers: Result<Vec<i32>, _> = rest.split(':').map(str::parse).collect();
                let Ok([family, kind, protocol]) = numbers.as_deref() else {
                    return Err(EINVAL);
                };
                self.keep(sys::socket(*family, *kind, *protocol))
            }
            "bound" => {
                let address = self.words(socket_address(rest, true)?);
                let v6 = rest.starts_with('[');
                let (family, len) = if v6 {
                    (libc::AF_INET6, 28)
                } else {
                    (libc::AF_INET, 16)
                };
                let made = self.keep(sys::socket(family, libc::SOCK_STREAM, 0))?;
                let bound = sys::call!(libc::SYS_bind, made, address, len);
                if bound < 0 { Err(bound) } else { Ok(made) }
            }
            "unix-msg" => {
                let text = self.string("x");
                let address = self.words(words_of(&unix_address(rest)));
                Ok(self.envelope(address, 110, text, 1))
            }
            "plain-msg" => {
                let bytes = bytes_of(rest)?;
                let content = self.words(words_of(&bytes));
                Ok(self.envelope(0, 0, content, bytes.len()))
            }
            "msg" => self.message(rest, true),
            "unspec-msg" => self.message(rest, false),
            "w" => {
                let words = rest.split(',').map(|word| word.parse().map_err(|_| EINVAL));
                Ok(self.words(words.collect::<Result<Vec<u64>, Ret>>()?))
            }
            "hex" => Ok(self.words(words_of(&bytes_of(rest)?))),
            _ => Err(EINVAL),
        }
    }

    fn string(&mut self, text: &str) -> libc::c_long {
        let text = c(text);
        let at = text.as_ptr() as libc::c_long;
        self.strings.push(text);
        at
    }

    fn words(&mut self, words: Vec<u64>) -> libc::c_long {
        let words = words.into_boxed_slice();
        let at = words.as_ptr() as libc::c_long;
        self.words.push(words);
        at
    }

    fn descriptor_name(&mut self, fd: Ret) -> Result<libc::c_long, Ret> {
        let fd = self.keep(fd)?;
        Ok(self.string(&format!("/proc/self/fd/{fd}")))
    }

    fn keep(&mut self, fd: Ret) -> Result<libc::c_long, Ret> {
        let owned = sys::owned(fd).ok_or(fd)?;
        let number = owned.as_raw_fd();
        self.descriptors.push(owned);
        Ok(number.into())
    }

    /// `struct mmsghdr` (which begins with a `struct msghdr`): address, its length, one `struct iovec`, no control.
    fn message(&mut self, address: &str, with_family: bool) -> Result<libc::c_long, Ret> {
        let address = socket_address(address, with_family)?;
        let len = if address.len() > 2 { 28 } else { 16 };
        let address = self.words(address);
        let text = self.string("x");
        Ok(self.envelope(address, len, text, 1))
    }

    fn envelope(
        &mut self,
        address: libc::c_long,
        len: u64,
        content: libc::c_long,
        bytes: usize,
    ) -> libc::c_long {
        let vector = self.words(vec![content as u64, bytes as u64]);
        self.words(vec![address as u64, len, vector as u64, 1, 0, 0, 0, 0])
    }
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word.iter_mut()
            .zip(chunk)
            .for_each(|(to, from)| *to = *from);
        u64::from_ne_bytes(word)
    });
    words.collect()
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, Ret> {
    let digits: Vec<char> = hex.chars().collect();
    let bytes = digits.chunks(2).map(|pair| {
        let pair: String = pair.iter().collect();
        u8::from_str_radix(&pair, 16).map_err(|_| EINVAL)
    });
    bytes.collect()
}

/// `struct sockaddr_in` (16 bytes) or `struct sockaddr_in6` (28 bytes).
fn socket_address(text: &str, with_family: bool) -> Result<Vec<u64>, Ret> {
    let address: SocketAddr = text.parse().map_err(|_| EINVAL)?;
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let family = if with_family { family as u16 } else { 0 };
    let mut bytes = family.to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => bytes.extend(v4(address)),
        SocketAddr::V6(address) => {
            bytes.extend([0; 4]);
            bytes.extend(address.ip().octets());
            bytes.extend([0; 4]);
        }
    }
    Ok(words_of(&bytes))
}

fn v4(address: SocketAddrV4) -> impl Iterator<Item = u8> {
    address.ip().octets().into_iter().chain([0; 8])
}

/// `struct sockaddr_vm`, 16 bytes.
fn vsock_address(text: &str) -> Result<Vec<u8>, Ret> {
    let (cid, port) = text.split_once(':').ok_or(EINVAL)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_| EINVAL);
    let (cid, port) = (number(cid)?, number(port)?);
    let mut bytes = (libc::AF_VSOCK as u16).to_ne_bytes().to_vec();
    bytes.extend([0; 2]);
    bytes.extend(port.to_ne_bytes());
    bytes.extend(cid.to_ne_bytes());
    bytes.extend([0; 4]);
    Ok(bytes)
}

/// `struct sockaddr_un`, 110 bytes.
fn unix_address(path: &str) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend(path.as_bytes());
    bytes.resize(110, 0);
    bytes
}
