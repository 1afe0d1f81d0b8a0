//! Reads the kernel object before it is loaded: its layout version and the shape of its maps.
//!
//! Loads nothing.

use std::path::{Path, PathBuf};

use aya_obj::EbpfSectionKind;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use stayhand_agent_ebpf::abi::{
    ABI_VERSION,
    offsets::{ABI_VERSION_GLOBAL, PROGRAMS},
};

use super::layout::Layout;

/// Largest object that is read: ours has some hundred KiB.
const OBJECT_BYTES_MAX: u64 = 64 << 20;

/// Why an object cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The file cannot be read.
    #[error("cannot read the kernel object `{}`: {source}; install it or set its path in agent.toml", path.display())]
    Io {
        /// The file
        path: PathBuf,
        /// Why
        source: std::io::Error,
    },
    /// The file is not a kernel object.
    #[error("`{}` is not a Stayhand kernel object: {why}; install the one that belongs to this agent", path.display())]
    Malformed {
        /// The file
        path: PathBuf,
        /// What is wrong
        why: String,
    },
    /// The object is of another version.
    #[error(
        "`{}` has layout {found}, this agent needs {ABI_VERSION}; install object and agent of one version",
        path.display()
    )]
    OtherAbi {
        /// The file
        path: PathBuf,
        /// Its layout version
        found: u32,
    },
}

/// A checked object.
#[derive(Debug)]
pub struct KernelObject {
    /// The file's bytes
    pub bytes: Vec<u8>,
    /// Its maps, without sections of globals
    pub maps: Vec<Layout>,
}

impl KernelObject {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ObjectError> {
        let io = |source| ObjectError::Io {
            path: path.to_owned(),
            source,
        };
        let len = std::fs::metadata(path).map_err(io)?.len();
        if len > OBJECT_BYTES_MAX {
            return Err(ObjectError::Malformed {
                path: path.to_owned(),
                why: format!("it has {len} bytes"),
            });
        }
        Self::parse(std::fs::read(path).map_err(io)?, path)
    }

    /// Checks the bytes of the file `path`.
    pub fn parse(bytes: Vec<u8>, path: &Path) -> Result<Self, ObjectError> {
        let malformed = |why: String| ObjectError::Malformed {
            path: path.to_owned(),
            why,
        };
        let found = global_u32(&bytes, ABI_VERSION_GLOBAL).map_err(malformed)?;
        if found != u32::from(ABI_VERSION) {
            return Err(ObjectError::OtherAbi {
                path: path.to_owned(),
                found,
            });
        }
        let parsed =
            aya_obj::Object::parse(&bytes).map_err(|error| malformed(error.to_string()))?;
        for (program, _) in PROGRAMS {
            if !parsed.programs.contains_key(*program) {
                return Err(malformed(format!("program `{program}` is missing")));
            }
        }
        let mut maps: Vec<_> = parsed
            .maps
            .iter()
            .filter(|(_, map)| {
                matches!(
                    map.section_kind(),
                    EbpfSectionKind::BtfMaps | EbpfSectionKind::Maps
                )
            })
            .map(|(name, map)| Layout::of_object(name, map))
            .collect();
        maps.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { bytes, maps })
    }
}

/// A 32-bit global by its symbol.
fn global_u32(bytes: &[u8], name: &str) -> Result<u32, String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    let symbol = symbol.ok_or(format!("global `{name}` is missing"))?;
    let section = symbol
        .section_index()
        .and_then(|index| file.section_by_index(index).ok());
    let section = section.ok_or(format!("global `{name}` has no section"))?;
    let found = section
        .data_range(symbol.address(), 4)
        .ok()
        .flatten()
        .and_then(|data| data.try_into().ok());
    found
        .map(u32::from_le_bytes)
        .ok_or(format!("global `{name}` has no value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_an_object_is_refused_with_its_path() {
        let path = Path::new("/usr/lib/x.o");
        for bytes in [
            vec![],
            vec![0; 4096],
            b"\x7fELF".to_vec(),
            std::fs::read("/proc/self/exe").unwrap(),
        ] {
            let error = KernelObject::parse(bytes, path).unwrap_err().to_string();
            assert!(error.contains("/usr/lib/x.o"), "{error}");
        }
        assert!(matches!(
            KernelObject::read(Path::new("/nonexistent.o")),
            Err(ObjectError::Io { .. })
        ));
    }
}
