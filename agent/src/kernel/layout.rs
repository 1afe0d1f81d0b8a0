//! The shape of a map: in the object, and as pinned by an earlier agent. A pinned map is used again only if
//! both are equal; the loader itself does not check that.

use std::{fmt, path::PathBuf};

use aya::maps::{MapError, MapInfo};
use nix::unistd::{SysconfVar, sysconf};

use super::pins::{Pins, PinsError};

/// `BPF_MAP_TYPE_RINGBUF` (include/uapi/linux/bpf.h)
const RING_BUFFER: u32 = 27;

/// Type, sizes and flags of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The map
    pub name: String,
    /// `enum bpf_map_type`
    pub kind: u32,
    /// Bytes of a key
    pub key_size: u32,
    /// Bytes of a value
    pub value_size: u32,
    /// Entries; bytes for a ring
    pub max_entries: u32,
    /// Flags of its creation
    pub flags: u32,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name: _,
            kind,
            key_size,
            value_size,
            max_entries,
            flags,
        } = self;
        write!(
            f,
            "type {kind}, key {key_size}, value {value_size}, entries {max_entries}, flags {flags:#x}"
        )
    }
}

/// Why pinned maps cannot be used again.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A pinned map has another shape than the object's.
    #[error(
        "pinned map `{}` has another layout (pinned: {pinned}; needed: {needed}); it belongs to an agent of another build: \
         run that agent's `stayhand-agent --uninstall`, which ends its enforcement, and start again",
        path.display()
    )]
    Other {
        /// The pin
        path: PathBuf,
        /// What is pinned
        pinned: Layout,
        /// What the object has
        needed: Layout,
    },
    /// A pin cannot be opened as a map.
    #[error("cannot look at pinned map `{}`; see that it is a map, or remove it", path.display())]
    Unreadable {
        /// The pin
        path: PathBuf,
        /// Why
        source: MapError,
    },
    /// The directory cannot be read.
    #[error(transparent)]
    Pins(#[from] PinsError),
}

impl Layout {
    /// As the object defines it, with the loader's own adjustments for rings.
    pub fn of_object(name: &str, map: &aya_obj::Map) -> Self {
        let ring = map.map_type() == RING_BUFFER;
        Self {
            name: name.to_owned(),
            kind: map.map_type(),
            key_size: if ring { 0 } else { map.key_size() },
            value_size: if ring { 0 } else { map.value_size() },
            max_entries: if ring {
                ring_bytes(map.max_entries())
            } else {
                map.max_entries()
            },
            flags: map.map_flags(),
        }
    }

    /// As the kernel describes a pinned map.
    pub fn of_pin(name: &str, pins: &Pins) -> Result<Self, LayoutError> {
        let path = pins.map(name);
        let unreadable = |source| LayoutError::Unreadable {
            path: path.clone(),
            source,
        };
        let info = MapInfo::from_pin(&path).map_err(unreadable)?;
        Ok(Self {
            name: name.to_owned(),
            kind: info.map_type().map_err(unreadable)? as u32,
            key_size: info.key_size(),
            value_size: info.value_size(),
            max_entries: info.max_entries(),
            flags: info.map_flags(),
        })
    }

    /// An error if `pinned` is not the same.
    fn require(&self, pinned: Self, pins: &Pins) -> Result<(), LayoutError> {
        if pinned == *self {
            return Ok(());
        }
        Err(LayoutError::Other {
            path: pins.map(&self.name),
            pinned,
            needed: self.clone(),
        })
    }
}

/// Rings are a power of two of pages; the loader rounds up.
fn ring_bytes(bytes: u32) -> u32 {
    let page = sysconf(SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|page| u32::try_from(page).ok())
        .unwrap_or(4096);
    if bytes == 0 {
        0
    } else {
        bytes
            .div_ceil(page)
            .next_power_of_two()
            .saturating_mul(page)
    }
}

/// Checks every map of the object that is already pinned; yields the names of those that are not.
pub fn check(needed: &[Layout], pins: &Pins) -> Result<Vec<String>, LayoutError> {
    let pinned = pins.map_names()?;
    let mut missing = Vec::new();
    for layout in needed {
        if pinned.contains(&layout.name) {
            layout.require(Layout::of_pin(&layout.name, pins)?, pins)?;
        } else {
            missing.push(layout.name.clone());
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_another_layout_is_refused_naming_both() {
        let needed = Layout {
            name: "HOLDS".into(),
            kind: 1,
            key_size: 24,
            value_size: 64,
            max_entries: 9,
            flags: 0,
        };
        let pins = Pins::new("/sys/fs/bpf/stayhand/v1");
        for change in 0..5 {
            let mut pinned = needed.clone();
            let field = [
                &mut pinned.kind,
                &mut pinned.key_size,
                &mut pinned.value_size,
                &mut pinned.max_entries,
                &mut pinned.flags,
            ]
            .into_iter()
            .nth(change)
            .unwrap();
            *field += 1;
            let text = needed
                .require(pinned.clone(), &pins)
                .unwrap_err()
                .to_string();
            assert!(
                text.contains(&needed.to_string()) && text.contains(&pinned.to_string()),
                "{text}"
            );
            assert!(
                text.contains("maps/HOLDS") && text.contains("--uninstall"),
                "{text}"
            );
        }
        needed.require(needed.clone(), &pins).unwrap();
    }

    #[test]
    fn rings_are_rounded_as_the_loader_does() {
        for (bytes, rounded) in [
            (0, 0),
            (1, 4096),
            (4096, 4096),
            (4097, 8192),
            (8193, 16384),
            (524_288, 524_288),
        ] {
            assert_eq!(ring_bytes(bytes), rounded);
        }
    }
}
