//! Which shared libraries a program asks its loader for: a missing one is found here, not in the guest.

use anyhow::{Context, Result};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn, FileHeader};

/// ELF magic; scripts and data have no libraries.
const MAGIC: &[u8] = b"\x7fELF";

/// The `DT_NEEDED` names of an ELF file; nothing for anything else.
pub fn libraries(data: &[u8]) -> Result<Vec<String>> {
    if !data.starts_with(MAGIC) {
        return Ok(Vec::new());
    }
    let elf = FileHeader64::<Endianness>::parse(data).context("not a 64-bit ELF file")?;
    let endian = elf.endian()?;
    let sections = elf.sections(endian, data)?;
    let Some((dynamic, link)) = sections.dynamic(endian, data)? else {
        return Ok(Vec::new());
    };
    let strings = sections.strings(endian, data, link)?;
    let mut names = Vec::new();
    for entry in dynamic {
        if entry.d_tag(endian) == DT_NEEDED {
            let name = entry.string(endian, strings)?;
            names.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(names)
}
