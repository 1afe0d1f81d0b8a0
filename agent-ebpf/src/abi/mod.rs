//! Layouts shared across the kernel border: fixed-width integers, explicit padding, asserted sizes.
//!
//! Never an enum, `bool`, `Option` or `usize`: the kernel side must not be able to hold an invalid value, and
//! `decode` functions map every value that is not known exactly to the restricting one.

pub mod calls;
pub mod code;
pub mod fact;
pub mod hold;
pub mod image;
pub mod loaded;
pub mod net;
pub mod offsets;
pub mod place;
pub mod pulse;
pub mod rate;
pub mod record;
pub mod schedule;
pub mod task;

/// Version of every layout in this module. Part of the bpffs directory name (`v<abi>`), of every record and
/// of the object's `.rodata`. Any change of a layout increments it, and so does any change of what hooks let go before
/// they know who asks: programs of one version that run beside each other have to agree on that.
pub const ABI_VERSION: u16 = 11;

/// Login uid or audit session that was never set (`AUDIT_UID_UNSET`, `AUDIT_SID_UNSET` in `linux/audit.h`).
pub const UNSET: u32 = u32::MAX;
