//! Everything that depends on the architecture: registers, system call numbers, ABI. One file per machine.

#[cfg(bpf_target_arch = "x86_64")]
mod x86_64;
#[cfg(bpf_target_arch = "x86_64")]
pub use x86_64::*;
