//! Reads the running kernel's BTF: where a member lies in a structure and how large it is.
//!
//! Only what offsets need; never trusts a length or an index in the bytes, and never guesses: a member that is
//! not there, is a bit field or lies at two places in two structures of one name is not found.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

/// Where Linux shows its own type information.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
/// Modifiers in a row (`const volatile typedef …`); real kernels stay below ten.
const CHAIN_MAX: usize = 32;
/// Anonymous structures inside each other; real kernels stay below eight.
const NESTING_MAX: usize = 16;
/// Size of a pointer on every architecture that the hooks are built for.
const POINTER_BYTES: u32 = 8;

// Kinds that matter here (include/uapi/linux/btf.h).
const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const FLOAT: u32 = 16;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// Why type information cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error("cannot read type information from `{}`; boot a kernel with CONFIG_DEBUG_INFO_BTF", path.display())]
    Io {
        /// The file
        path: PathBuf,
        /// Why
        source: std::io::Error,
    },
    /// The bytes are not type information that this reader knows.
    #[error("type information is damaged or of an unknown kind: {what} at byte {at}")]
    Malformed {
        /// What is wrong
        what: &'static str,
        /// Where
        at: usize,
    },
}

/// A member of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the structure
    pub offset: u32,
    /// Its size in bytes
    pub size: u32,
}

/// Type information, indexed.
#[derive(Debug)]
pub struct Btf {
    bytes: Vec<u8>,
    /// Start of type `id` at index `id - 1`
    types: Vec<usize>,
    strings: std::ops::Range<usize>,
    structures: HashMap<Vec<u8>, Vec<u32>>,
    functions: HashMap<Vec<u8>, u32>,
}

#[derive(Clone, Copy)]
struct Type {
    at: usize,
    name: u32,
    kind: u32,
    count: usize,
    bit_fields: bool,
    size_or_id: u32,
}

fn malformed(what: &'static str, at: usize) -> BtfError {
    BtfError::Malformed { what, at }
}

impl Btf {
    /// Reads the running kernel's.
    pub fn of_running_kernel() -> Result<Self, BtfError> {
        let path = Path::new(KERNEL_BTF);
        let bytes = std::fs::read(path).map_err(|source| BtfError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(bytes)
    }

    /// Checks and indexes `bytes`.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        if bytes.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(malformed("no magic number of this byte order", 0));
        }
        let header = word(&bytes, 4)? as usize;
        let section = |offset: usize, len: usize, what| {
            let start = header
                .checked_add(word(&bytes, offset)? as usize)
                .ok_or(malformed(what, offset))?;
            let end = start
                .checked_add(word(&bytes, len)? as usize)
                .ok_or(malformed(what, len))?;
            if end > bytes.len() {
                Err(malformed(what, offset))
            } else {
                Ok(start..end)
            }
        };
        let types = section(8, 12, "types outside the file")?;
        let strings = section(16, 20, "strings outside the file")?;
        let mut btf = Self {
            bytes,
            types: Vec::new(),
            strings,
            structures: HashMap::new(),
            functions: HashMap::new(),
        };
        btf.index(types)?;
        Ok(btf)
    }

    fn index(&mut self, types: std::ops::Range<usize>) -> Result<(), BtfError> {
        let mut at = types.start;
        while at < types.end {
            let found = read_type(&self.bytes, at)?;
            let next = at
                .checked_add(12)
                .and_then(|at| at.checked_add(tail(found)?));
            let next = next
                .filter(|next| *next <= types.end)
                .ok_or(malformed("a type of unknown kind or length", at))?;
            self.types.push(at);
            if matches!(found.kind, STRUCT | UNION) {
                let id =
                    u32::try_from(self.types.len()).map_err(|_| malformed("too many types", at))?;
                let name = self.name(found.name)?.to_vec();
                self.structures.entry(name).or_default().push(id);
            }
            if found.kind == FUNC {
                let name = self.name(found.name)?.to_vec();
                self.functions.insert(name, found.size_or_id);
            }
            at = next;
        }
        Ok(())
    }

    /// How many arguments a function has; `None` if there is no such function.
    pub fn arguments(&self, function: &str) -> Result<Option<usize>, BtfError> {
        let Some(prototype) = self.functions.get(function.as_bytes()) else {
            return Ok(None);
        };
        let found = self.by_id(*prototype)?;
        Ok((found.kind == FUNC_PROTO).then_some(found.count))
    }

    /// Finds a member by its dotted path, through anonymous structures and unions. `None` if there is no such
    /// structure or member, if it is a bit field, or if structures of one name disagree.
    pub fn member(&self, structure: &str, path: &str) -> Result<Option<Member>, BtfError> {
        let Some(ids) = self.structures.get(structure.as_bytes()) else {
            return Ok(None);
        };
        let mut found = HashSet::new();
        for id in ids {
            if let Some((offset, size)) = self.walk(*id, path)? {
                found.insert((offset, size));
            }
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some((offset, size)), None) => Ok(Some(Member { offset, size })),
            _ => Ok(None),
        }
    }

    fn walk(&self, id: u32, path: &str) -> Result<Option<(u32, u32)>, BtfError> {
        let (mut id, mut offset) = (id, 0u32);
        for name in path.split('.') {
            let Some(structure) = self.structure(id)? else {
                return Ok(None);
            };
            let Some((inside, member)) = self.find(structure, name.as_bytes(), 0)? else {
                return Ok(None);
            };
            offset = offset
                .checked_add(inside)
                .ok_or(malformed("an offset overflows", structure.at))?;
            id = member;
        }
        Ok(self.size(id)?.map(|size| (offset, size)))
    }

    /// Offset and type of a member, looked for depth first in members without a name.
    fn find(
        &self,
        structure: Type,
        name: &[u8],
        depth: usize,
    ) -> Result<Option<(u32, u32)>, BtfError> {
        if depth > NESTING_MAX {
            return Err(malformed(
                "anonymous structures nested too deeply",
                structure.at,
            ));
        }
        for index in 0..structure.count {
            let at = structure.at + 12 + index * 12;
            let (member_name, member_type) = (
                self.name(word(&self.bytes, at)?)?,
                word(&self.bytes, at + 4)?,
            );
            let raw = word(&self.bytes, at + 8)?;
            let (bits, width) = if structure.bit_fields {
                (raw & 0x00ff_ffff, raw >> 24)
            } else {
                (raw, 0)
            };
            if !name.is_empty() && member_name == name {
                return Ok((width == 0 && bits % 8 == 0).then_some((bits / 8, member_type)));
            }
            if member_name.is_empty()
                && let Some(inner) = self.structure(member_type)?
                && let Some((inside, found)) = self.find(inner, name, depth + 1)?
            {
                let offset = (bits / 8)
                    .checked_add(inside)
                    .ok_or(malformed("an offset overflows", at))?;
                return Ok(Some((offset, found)));
            }
        }
        Ok(None)
    }

    /// The structure or union behind modifiers, if it is one.
    fn structure(&self, id: u32) -> Result<Option<Type>, BtfError> {
        Ok(self
            .bare(id)?
            .filter(|found| matches!(found.kind, STRUCT | UNION)))
    }

    /// The type behind modifiers; `None` for void.
    fn bare(&self, mut id: u32) -> Result<Option<Type>, BtfError> {
        for _ in 0..CHAIN_MAX {
            if id == 0 {
                return Ok(None);
            }
            let found = self.by_id(id)?;
            if !matches!(found.kind, TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG) {
                return Ok(Some(found));
            }
            id = found.size_or_id;
        }
        Err(malformed("modifiers in a circle", 0))
    }

    fn size(&self, id: u32) -> Result<Option<u32>, BtfError> {
        let (mut id, mut times) = (id, 1u32);
        for _ in 0..CHAIN_MAX {
            let Some(found) = self.bare(id)? else {
                return Ok(None);
            };
            let one = match found.kind {
                INT | STRUCT | UNION | ENUM | ENUM64 | FLOAT => found.size_or_id,
                PTR => POINTER_BYTES,
                ARRAY => {
                    id = word(&self.bytes, found.at + 12)?;
                    let elements = word(&self.bytes, found.at + 20)?;
                    times = times
                        .checked_mul(elements)
                        .ok_or(malformed("an array's size overflows", found.at))?;
                    continue;
                }
                _ => return Ok(None),
            };
            return one
                .checked_mul(times)
                .map(Some)
                .ok_or(malformed("a size overflows", found.at));
        }
        Err(malformed("arrays in a circle", 0))
    }

    fn by_id(&self, id: u32) -> Result<Type, BtfError> {
        let index = (id as usize)
            .checked_sub(1)
            .and_then(|index| self.types.get(index));
        read_type(
            &self.bytes,
            *index.ok_or(malformed("a type that does not exist", 0))?,
        )
    }

    fn name(&self, offset: u32) -> Result<&[u8], BtfError> {
        let strings = self.bytes.get(self.strings.clone()).unwrap_or_default();
        let tail = strings
            .get(offset as usize..)
            .ok_or(malformed("a name outside the strings", offset as usize))?;
        let end = tail
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(malformed("a name without end", offset as usize))?;
        Ok(tail.get(..end).unwrap_or_default())
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let end = at
        .checked_add(4)
        .ok_or(malformed("an index overflows", at))?;
    let found = bytes.get(at..end).and_then(|found| found.try_into().ok());
    found
        .map(u32::from_ne_bytes)
        .ok_or(malformed("cut off", at))
}

fn read_type(bytes: &[u8], at: usize) -> Result<Type, BtfError> {
    let info = word(bytes, at + 4)?;
    Ok(Type {
        at,
        name: word(bytes, at)?,
        kind: (info >> 24) & 0x1f,
        count: (info & 0xffff) as usize,
        bit_fields: info >> 31 != 0,
        size_or_id: word(bytes, at + 8)?,
    })
}

/// Bytes behind the first twelve of a type; `None` for a kind that is not known.
fn tail(found: Type) -> Option<usize> {
    Some(match found.kind {
        PTR | 7 | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | FLOAT | TYPE_TAG => 0,
        INT | VAR | DECL_TAG => 4,
        ARRAY => 12,
        STRUCT | UNION | DATASEC | ENUM64 => found.count * 12,
        ENUM | FUNC_PROTO => found.count * 8,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "btf_tests.rs"]
pub(crate) mod tests;
