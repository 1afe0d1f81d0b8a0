//! The kernel program: one LSM hook per file under `hooks/`, everything they share beside them.
//!
//! Only built for the BPF target; elsewhere this is an empty program so that the workspace builds everywhere.
//! Hooks never wait for user space, never keep state per CPU and return literal constants only.
#![cfg_attr(
    target_arch = "bpf",
    no_std,
    no_main,
    feature(core_intrinsics, asm_experimental_arch),
    expect(
        internal_features,
        reason = "atomic_xadd: the target has no compare-and-swap, so core::sync::atomic lacks fetch_add"
    )
)]

#[cfg(target_arch = "bpf")]
mod answers;
#[cfg(target_arch = "bpf")]
mod arch;
#[cfg(target_arch = "bpf")]
mod conditions;
#[cfg(target_arch = "bpf")]
mod delay;
#[cfg(target_arch = "bpf")]
mod digest;
#[cfg(target_arch = "bpf")]
mod emit;
#[cfg(target_arch = "bpf")]
mod facts;
#[cfg(target_arch = "bpf")]
mod hold;
#[cfg(target_arch = "bpf")]
mod hooks;
#[cfg(target_arch = "bpf")]
mod judge;
#[cfg(target_arch = "bpf")]
mod lineage;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod offsets;
#[cfg(target_arch = "bpf")]
mod pieces;
#[cfg(target_arch = "bpf")]
mod places;
#[cfg(target_arch = "bpf")]
mod rates;
#[cfg(target_arch = "bpf")]
mod tokens;
#[cfg(target_arch = "bpf")]
mod trace;
#[cfg(target_arch = "bpf")]
mod underneath;
#[cfg(target_arch = "bpf")]
mod walk;
#[cfg(target_arch = "bpf")]
mod who;
#[cfg(target_arch = "bpf")]
mod wild;
#[cfg(target_arch = "bpf")]
mod words;

/// Licence of the object; the kernel gives LSM programs and several helpers only to GPL-compatible ones.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// A reachable panic leaves a program without an exit, which the verifier refuses: loading proves their absence.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
