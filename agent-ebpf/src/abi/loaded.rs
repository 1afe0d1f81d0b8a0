//! What an agent loaded, for the next one: whether the programs that stand are those that it would load itself.
//!
//! No program reads it.

/// Bound on the hooks of an object.
pub const LOADED_LINKS_MAX: usize = 64;

/// What was loaded last, complete. All zeroes stand for nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// SHA-256 over the object and everything that was set in it before it was loaded
    pub digest: [u8; 32],
    /// Generation of the programs, from 1
    pub generation: u32,
    /// How many of `links` count
    pub count: u32,
    /// In the order of the object's programs
    pub links: [LoadedLink; LOADED_LINKS_MAX],
}

/// One attached program.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadedLink {
    /// The kernel's number of the link
    pub link: u32,
    /// The kernel's number of the program; links and programs are numbered upwards from 1, while a boot lasts
    pub program: u32,
    /// Instructions that the verifier walked, 0 where the kernel does not tell
    pub verified_instructions: u32,
    /// Zero
    pub pad: u32,
}

impl Default for Loaded {
    fn default() -> Self {
        Self {
            digest: [0; 32],
            generation: 0,
            count: 0,
            links: [LoadedLink::default(); LOADED_LINKS_MAX],
        }
    }
}

const _: () = assert!(super::offsets::PROGRAMS.len() <= LOADED_LINKS_MAX);
const _: () = assert!(size_of::<LoadedLink>() == 16);
const _: () = assert!(size_of::<Loaded>() == 40 + 16 * LOADED_LINKS_MAX);
