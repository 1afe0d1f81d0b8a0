//! The walk from a dentry to its superblock's root, and the way back down through the path automaton.
//!
//! Up: one typed load per member, names only by address, the label of every directory. Down: names are hashed
//! only below matched directories. Afterwards every `d_seq` is compared: a rename in between voids the walk;
//! it is tried once more and then fails closed. Reads no path string and resolves nothing.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel};
use stayhand_agent_ebpf::{
    abi::{
        code::hook,
        image::{
            ACTIVE_SLOT_MASK, EdgeKey, LabelKey, NODES_PER_SLOT, Node, ROOT_NODE, Range, label_bit,
            range_flag,
        },
        task::{DEPTH_MAX, Here, Level, NAME_MAX, RANGES_MAX, Scratch},
    },
    path::{Levels, States, name_bit, step},
    siphash::{Sip, last_word},
};

use crate::{
    maps::{EDGES, LABEL_BITS, LABELS, NODES, settings},
    offsets::{
        Addr, OFF_DENTRY_FLAGS, OFF_DENTRY_INODE, OFF_DENTRY_NAME, OFF_DENTRY_NAME_LEN,
        OFF_DENTRY_PARENT, OFF_DENTRY_SB, OFF_DENTRY_SEQ, OFF_INODE_GENERATION, OFF_INODE_INO,
        OFF_INODE_SB, OFF_SB_DEV, OFF_SB_FLAGS, OFF_SB_ROOT, load,
    },
    places::{keep, quiet},
    underneath,
    wild::{UNTOLD, wild_from},
    words::take_in,
};

/// `SB_NOUSER` (include/linux/fs.h): a mount inside the kernel (pipes, sockets, memfd) that no path names.
const SB_NOUSER: u64 = 1 << 31;

/// `DCACHE_OP_REVALIDATE` (include/linux/dcache.h). A scenario shows on every tested kernel that sysfs has it.
const DCACHE_OP_REVALIDATE: u32 = 1 << 2;

/// Identity of an inode, as it keys labels.
///
/// # Safety
/// `inode` must be a typed inode pointer.
#[inline(always)]
pub unsafe fn identity(inode: Addr, slot: u32) -> LabelKey {
    // SAFETY: typed pointer by contract; a superblock outlives its inodes.
    unsafe {
        let sb: Addr = load(inode, &OFF_INODE_SB);
        LabelKey {
            ino: load(inode, &OFF_INODE_INO),
            dev: load(sb, &OFF_SB_DEV),
            igen: load(inode, &OFF_INODE_GENERATION),
            slot,
            pad: 0,
        }
    }
}

/// Image, file system and directory of the attempt at hand.
#[inline(always)]
pub fn here(scratch: *mut Scratch) -> *mut Here {
    // SAFETY: the scratch is live.
    unsafe { &raw mut (*scratch).current.here }
}

/// Notes the file system of `anchor`, and yields it. All that one attempt walks and binds an approval to is on it, so
/// that nothing else has to be asked where it is.
///
/// # Safety
/// `anchor` must be a typed inode pointer and `here` live.
#[inline(always)]
pub unsafe fn file_system_of(here: *mut Here, anchor: Addr) -> Addr {
    // SAFETY: by contract; a superblock outlives its inodes.
    unsafe {
        let sb: Addr = load(anchor, &OFF_INODE_SB);
        (*here).dev = load(sb, &OFF_SB_DEV);
        sb
    }
}

/// [`identity`] of an inode on the file system that was noted, for the image at hand.
///
/// # Safety
/// `inode` must be a typed inode pointer and `here` live.
#[inline(always)]
pub unsafe fn identity_here(here: *const Here, inode: Addr) -> LabelKey {
    // SAFETY: by contract.
    unsafe {
        LabelKey {
            ino: load(inode, &OFF_INODE_INO),
            dev: (*here).dev,
            igen: load(inode, &OFF_INODE_GENERATION),
            slot: ((*here).active & ACTIVE_SLOT_MASK) as u32,
            pad: 0,
        }
    }
}

/// Collects the entry ranges that `dentry` meets into the task's scratch; false if it cannot be judged.
///
/// # Safety
/// `dentry` must be a typed dentry pointer and `anchor` a typed inode pointer.
#[inline(always)]
pub unsafe fn collect(scratch: *mut Scratch, dentry: Addr, anchor: Addr) -> bool {
    // SAFETY: by contract.
    unsafe {
        let walked = collect_end(scratch, dentry, anchor, 0);
        if walked {
            keep(scratch);
        }
        walked
    }
}

/// The same for one of two ends, with levels of its own from `base` on: 0 or [`DEPTH_MAX`].
///
/// # Safety
/// As for [`collect`].
#[inline(always)]
pub unsafe fn collect_end(scratch: *mut Scratch, dentry: Addr, anchor: Addr, base: u32) -> bool {
    // SAFETY: by contract.
    unsafe {
        let sb = file_system_of(here(scratch), anchor);
        let Some(root) = root_of(sb) else {
            return nowhere(scratch);
        };
        (*scratch).current.base = base;
        // Until 6.7 overlayfs opens the file underneath under the name above, which was judged before.
        let foreign = u32::from(!same(here(scratch), load(dentry, &OFF_DENTRY_SB), sb));
        let mut walk = Walk {
            scratch,
            dentry,
            anchor,
            root,
            foreign,
        };
        let walked = &raw mut (*scratch).current.walked;
        core::ptr::write_volatile(walked, 0);
        bpf_loop(
            ATTEMPTS,
            one_attempt as *mut c_void,
            (&raw mut walk).cast(),
            0,
        );
        core::ptr::read_volatile(walked) != 0
    }
}

/// A rename on the way voids a walk; it is tried once more.
const ATTEMPTS: u32 = 2;

/// What is walked. In a kernel loop, because the verifier would go through each attempt that is written out.
#[repr(C)]
struct Walk {
    scratch: *mut Scratch,
    dentry: Addr,
    anchor: Addr,
    root: Addr,
    /// Not zero: the dentry is of another file system than the anchor
    foreign: u32,
}

/// Up, down, and whether nothing changed; 1 after an attempt that stands.
unsafe extern "C" fn one_attempt(_: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `collect_end`'s; typed pointers by its contract.
    unsafe {
        let walk = context.cast::<Walk>();
        let (scratch, dentry, anchor) = ((*walk).scratch, (*walk).dentry, (*walk).anchor);
        let foreign = (*walk).foreign != 0;
        if foreign && (*scratch).current.base != 0 {
            return 1; // no file is opened at a second end
        }
        let climbed = if foreign {
            underneath::climb(scratch, anchor, (*walk).root)
        } else {
            climb(scratch, dentry, (*walk).root)
        };
        if !climbed || !descend(scratch) {
            return 0;
        }
        if !quiet(here(scratch)) {
            let unchanged = if foreign {
                underneath::unchanged(scratch)
            } else {
                unchanged(scratch, dentry)
            };
            if !unchanged {
                return 0;
            }
        }
        core::ptr::write_volatile(&raw mut (*scratch).current.walked, 1);
    }
    1
}

/// What no path leads to. A program in memory meets the entries on everything, so that it is no way around them; pipes and
/// sockets are made by no path, and to open one again is to reach nothing new. False if the image is incomplete.
#[inline(always)]
unsafe fn nowhere(scratch: *mut Scratch) -> bool {
    // SAFETY: live by contract.
    unsafe {
        (*scratch).current.range_count = 0;
        (*scratch).current.conditions = 0;
        let slot = ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32;
        let asks = core::ptr::read_volatile(&raw const (*scratch).current.hook);
        if asks != u32::from(hook::EXEC) && asks != u32::from(hook::MMAP_FILE) {
            return true;
        }
        let mut view = View { scratch, slot };
        match view.node(ROOT_NODE) {
            Some(root) => root.below.len == 0 || view.matched(root.below),
            None => false,
        }
    }
}

/// Root of the superblock, or nothing where no path leads.
#[inline(always)]
unsafe fn root_of(sb: Addr) -> Option<Addr> {
    // SAFETY: typed pointer by contract.
    unsafe {
        if load::<u64>(sb, &OFF_SB_FLAGS) & SB_NOUSER != 0 {
            return None;
        }
        Some(load(sb, &OFF_SB_ROOT))
    }
}

/// What the way up works on. Of all that, only `at` changes between rounds, from one dentry to another that the
/// verifier types alike, so that its first round is every round (see ARCHITECTURE.md).
#[repr(C)]
struct Climb {
    scratch: *mut Scratch,
    at: Addr,
    root: Addr,
}

/// Runs one of two equal functions on every level: `first` on the object's own, `others` on those above it. Apart,
/// because the object's dentry is the hook's argument, which newer kernels trust more than what is loaded from it.
/// True if the last round said so, false also if there is no last one in time.
#[inline(always)]
unsafe fn each_level(
    mut climb: Climb,
    first: impl FnOnce(*mut Climb, u64) -> c_long,
    others: unsafe extern "C" fn(u64, *mut c_void) -> c_long,
) -> bool {
    // SAFETY: the context outlives the loop; the scratch is live.
    unsafe {
        let ended = &raw mut (*climb.scratch).current.rounds.ended;
        core::ptr::write_volatile(ended, 0);
        if first(&raw mut climb, 0) == 0 {
            bpf_loop(
                DEPTH_MAX as u32 - 1,
                others as *mut c_void,
                (&raw mut climb).cast(),
                0,
            );
        }
        // Volatile: whichever way the loop ended, the verifier goes on from one place with one unknown number.
        core::ptr::read_volatile(ended) != 0
    }
}

/// Up: names, labels and sequence numbers of every level. False if the root is not reached in time. A function of its
/// own, as the second look is: the way down is deep, and the stack holds what both of them need at one time.
#[inline(never)]
unsafe fn climb(scratch: *mut Scratch, dentry: Addr, root: Addr) -> bool {
    let climb = Climb {
        scratch,
        at: dentry,
        root,
    };
    // SAFETY: typed pointers by contract; `scratch` is live.
    unsafe {
        (*scratch).current.fickle = 0;
        each_level(
            climb,
            |climb, index| read_level(climb, index),
            one_level_above,
        )
    }
}

unsafe extern "C" fn one_level_above(round: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `each_level`'s.
    unsafe { read_level(context.cast(), round + 1) }
}

/// One dentry into its level; 1 after the last one.
#[inline(always)]
unsafe fn read_level(climb: *mut Climb, index: u64) -> c_long {
    // SAFETY: typed pointers by contract; the scratch is live.
    unsafe {
        let (scratch, at) = ((*climb).scratch, (*climb).at);
        let Some(level) = level_of(scratch, index as u32) else {
            return 1;
        };
        let inode: Addr = load(at, &OFF_DENTRY_INODE);
        (*level).seq = load(at, &OFF_DENTRY_SEQ);
        (*level).name_ptr = load(at, &OFF_DENTRY_NAME);
        (*level).name_len = load(at, &OFF_DENTRY_NAME_LEN);
        (*level).label = if inode.is_null() {
            0
        } else {
            label(here(scratch), inode)
        };
        let parent: Addr = load(at, &OFF_DENTRY_PARENT);
        if !same(here(scratch), parent, at) {
            if index != 0 {
                // What a file system looks at again by itself may have moved on a server, without a rename here. By the
                // flag that path walks go by: a file system clears it where its operation has nothing to look at. The
                // root goes nowhere.
                let flags: u32 = load(at, &OFF_DENTRY_FLAGS);
                (*scratch).current.fickle |= flags & DCACHE_OP_REVALIDATE;
            }
            (*climb).at = parent;
            return 0;
        }
        (*scratch).current.depth = index as u32 + 1;
        (*scratch).current.rounds.ended = u32::from(same(here(scratch), at, (*climb).root));
    }
    1
}

/// Compares two pointers through memory: left to itself LLVM compares by xor, which the verifier forbids.
///
/// # Safety
/// `here` must be live.
#[inline(always)]
pub unsafe fn same(here: *mut Here, left: Addr, right: Addr) -> bool {
    // SAFETY: live by contract.
    unsafe {
        let equal = &raw mut (*here).equal;
        if left == right {
            core::ptr::write_volatile(equal, 1);
        } else {
            core::ptr::write_volatile(equal, 0);
        }
        core::ptr::read_volatile(equal) == 1
    }
}

/// Whether the bit of an object is set, in one load.
#[inline(always)]
pub fn may_be_labelled(key: &LabelKey) -> bool {
    let Some(bits) = LABEL_BITS.get_ptr(key.slot) else {
        return true;
    };
    let (word, bit) = label_bit(key.ino, key.dev);
    // SAFETY: a live map value with a word for every index that `label_bit` yields; each is written in one piece.
    let word =
        unsafe { core::ptr::read_volatile((&raw const (*bits).words).cast::<u64>().add(word)) };
    word & bit != 0
}

/// Node that labels an inode on the file system that was noted, 0 for none.
///
/// # Safety
/// `inode` must be a typed inode pointer and `here` live.
#[inline(always)]
pub unsafe fn label(here: *const Here, inode: Addr) -> u32 {
    // SAFETY: by contract; the value is read at once, never kept.
    unsafe {
        let key = identity_here(here, inode);
        if !may_be_labelled(&key) {
            return 0;
        }
        LABELS.get(key).map_or(0, |label| label.node)
    }
}

/// The second look: no dentry on the way was renamed or replaced since the first one.
#[inline(never)]
unsafe fn unchanged(scratch: *mut Scratch, dentry: Addr) -> bool {
    let climb = Climb {
        scratch,
        at: dentry,
        root: dentry,
    };
    // SAFETY: typed pointers by contract; `scratch` is live.
    unsafe {
        each_level(
            climb,
            |climb, index| compare_level(climb, index),
            one_comparison_above,
        )
    }
}

unsafe extern "C" fn one_comparison_above(round: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `each_level`'s.
    unsafe { compare_level(context.cast(), round + 1) }
}

/// Compares one dentry with its level; 1 after the last one and at the first one that changed.
#[inline(always)]
unsafe fn compare_level(climb: *mut Climb, index: u64) -> c_long {
    // SAFETY: typed pointers by contract; the scratch is live.
    unsafe {
        let (scratch, at) = ((*climb).scratch, (*climb).at);
        let Some(level) = level_of(scratch, index as u32) else {
            return 1;
        };
        let seq: u32 = load(at, &OFF_DENTRY_SEQ);
        if seq != (*level).seq || seq & 1 != 0 {
            return 1;
        }
        let parent: Addr = load(at, &OFF_DENTRY_PARENT);
        if !same(here(scratch), parent, at) {
            (*climb).at = parent;
            return 0;
        }
        (*scratch).current.rounds.ended = 1;
    }
    1
}

/// A level of the walk at hand.
#[inline(always)]
unsafe fn level_of(scratch: *mut Scratch, level: u32) -> Option<*mut Level> {
    // SAFETY: live by contract; the index is checked.
    unsafe {
        let index = level.wrapping_add((*scratch).current.base);
        if index >= 2 * DEPTH_MAX as u32 {
            return None;
        }
        Some(
            (&raw mut (*scratch).levels)
                .cast::<Level>()
                .add(index as usize),
        )
    }
}

/// Down: the path automaton, one level per round, from the root to the object.
#[inline(always)]
fn descend(scratch: *mut Scratch) -> bool {
    // SAFETY: `scratch` is live.
    unsafe {
        (*scratch).current.range_count = 0;
        (*scratch).current.states = States::default();
        (*scratch).current.conditions = 0;
        (*scratch).current.walk_failed = 0;
        let mut context = Context { scratch };
        let callback: unsafe extern "C" fn(u64, *mut c_void) -> c_long = one_level;
        let rounds = (*scratch).current.depth;
        bpf_loop(
            rounds,
            callback as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
        (*scratch).current.walk_failed == 0
    }
}

#[repr(C)]
struct Context {
    scratch: *mut Scratch,
}

/// One round of [`descend`]; 1 ends the loop.
unsafe extern "C" fn one_level(round: u64, context: *mut c_void) -> c_long {
    // SAFETY: the context is `descend`'s, on its stack; the scratch is live.
    unsafe {
        let scratch = (*context.cast::<Context>()).scratch;
        let depth = (*scratch).current.depth;
        let level = depth.wrapping_sub(1).wrapping_sub(round as u32);
        if level >= DEPTH_MAX as u32 {
            return 1;
        }
        if level == 0 {
            (*scratch).current.above = (*scratch).current.states;
            (*scratch).current.met_above = (*scratch).current.range_count;
        }
        let mut view = View {
            scratch,
            slot: ((*scratch).current.here.active & ACTIVE_SLOT_MASK) as u32,
        };
        match step(&mut view, (*scratch).current.states, level) {
            Some(states) => (*scratch).current.states = states,
            None => {
                (*scratch).current.walk_failed = 1;
                return 1;
            }
        }
    }
    0
}

/// The kernel's tables behind [`Levels`].
struct View {
    scratch: *mut Scratch,
    slot: u32,
}

impl View {
    #[inline(always)]
    fn level(&self, level: u32) -> Option<*mut Level> {
        // SAFETY: the scratch is live.
        unsafe { level_of(self.scratch, level) }
    }
}

impl Levels for View {
    #[inline(always)]
    fn label(&mut self, level: u32) -> u32 {
        // SAFETY: points into the live scratch.
        self.level(level)
            .map_or(0, |level| unsafe { (*level).label })
    }

    #[inline(always)]
    fn name_bit(&mut self, level: u32) -> Option<u64> {
        let level = self.level(level)?;
        // SAFETY: points into the live scratch.
        let (pointer, len) = unsafe { ((*level).name_ptr, (*level).name_len) };
        // SAFETY: the scratch is live.
        let room = unsafe { (&raw mut (*self.scratch).name).cast() };
        bit(room, pointer, len)
    }

    #[inline(always)]
    fn name_hash(&mut self, level: u32) -> Option<u64> {
        let level = self.level(level)?;
        // SAFETY: points into the live scratch.
        let (pointer, len) = unsafe { ((*level).name_ptr, (*level).name_len) };
        name_hash(self.scratch, pointer, len)
    }

    #[inline(always)]
    fn edge(&mut self, node: u32, name_hash: u64) -> u32 {
        // SAFETY: the value is copied at once.
        unsafe {
            EDGES
                .get(EdgeKey {
                    name_hash,
                    node,
                    slot: self.slot,
                })
                .map_or(0, |node| *node)
        }
    }

    #[inline(always)]
    fn wild(&mut self, node: u32, level: u32) -> Option<u32> {
        let level = self.level(level)?;
        // SAFETY: points into the live scratch.
        let (pointer, len) = unsafe { ((*level).name_ptr, (*level).name_len) };
        let found = wild_from(self.scratch, self.slot, node, pointer, len);
        (found != UNTOLD).then_some(found)
    }

    #[inline(always)]
    fn node(&mut self, node: u32) -> Option<Node> {
        node_of(self.slot, node).copied()
    }

    #[inline(always)]
    fn matched(&mut self, range: Range) -> bool {
        // SAFETY: the scratch is live; the index is checked.
        unsafe {
            let count = (*self.scratch).current.range_count;
            if count >= RANGES_MAX as u32 {
                return false;
            }
            *(&raw mut (*self.scratch).ranges)
                .cast::<Range>()
                .add(count as usize) = range;
            (*self.scratch).current.range_count = count + 1;
            (*self.scratch).current.conditions |= u32::from(range.flags & range_flag::CONDITIONS);
        }
        true
    }
}

/// Whether the name may lead from one of these states to another node, told by what it begins with, for which there
/// must be room behind `first`.
#[inline(always)]
pub fn may_lead_on(first: *mut u64, states: States, slot: u32, pointer: u64, len: u32) -> bool {
    let (Some([above, beside]), Some(bit)) = (names(states, slot), bit(first, pointer, len)) else {
        return true;
    };
    bit & (above | beside) != 0
}

/// Whether the name leads from one of the states that were noted to another node, or cannot be told. A function of its
/// own, as far as the stack goes: few names in a known directory come here.
#[inline(never)]
pub fn leads_on(scratch: *mut Scratch, pointer: u64, len: u32) -> bool {
    let Some(hash) = name_hash(scratch, pointer, len) else {
        return true;
    };
    // SAFETY: the scratch is live.
    let states = unsafe { (*here(scratch)).states };
    leads(scratch, states.by_label, hash, pointer, len)
        || leads(scratch, states.by_name, hash, pointer, len)
}

#[inline(always)]
fn leads(scratch: *mut Scratch, node: u32, hash: u64, pointer: u64, len: u32) -> bool {
    if node == 0 {
        return false;
    }
    // SAFETY: the scratch is live.
    let slot = unsafe { ((*here(scratch)).active & ACTIVE_SLOT_MASK) as u32 };
    let Some(found) = node_of(slot, node) else {
        return true;
    };
    let names = found.names;
    View { scratch, slot }.edge(node, hash) != 0
        || names == u64::MAX && wild_from(scratch, slot, node, pointer, len) != 0
}

/// Bits of the names that lead on from these states, see [`name_bit`].
#[inline(always)]
fn names(states: States, slot: u32) -> Option<[u64; 2]> {
    let names = [states.by_label, states.by_name].map(|node| {
        if node == 0 {
            Some(0)
        } else {
            node_of(slot, node).map(|node| node.names)
        }
    });
    let [Some(above), Some(beside)] = names else {
        return None;
    };
    Some([above, beside])
}

#[inline(always)]
fn node_of(slot: u32, node: u32) -> Option<&'static Node> {
    if node >= NODES_PER_SLOT {
        return None;
    }
    NODES.get(slot * NODES_PER_SLOT + node)
}

/// See [`name_bit`]. `None` if the name is unreadable.
#[inline(always)]
fn bit(first: *mut u64, pointer: u64, len: u32) -> Option<u64> {
    // SAFETY: room for a word. The helper checks the address; a shorter name is followed by other bytes of its
    // dentry, whose buffer has more than eight.
    unsafe {
        if bpf_probe_read_kernel(first.cast(), 8, pointer as *const c_void) != 0 {
            return None;
        }
        let mut word = core::ptr::read_volatile(first);
        if len < 8 {
            word &= (1u64 << (len * 8)) - 1;
        }
        Some(name_bit(word.to_le_bytes(), len))
    }
}

/// Hash of a component, read by a checked helper. `None` if it is unreadable or longer than any name.
#[inline(always)]
pub fn name_hash(scratch: *mut Scratch, pointer: u64, len: u32) -> Option<u64> {
    // SAFETY: the scratch is live. Volatile: kept in registers, it would be spilled to a stack that has no room.
    hash_name(scratch, pointer, len)
        .then(|| unsafe { core::ptr::read_volatile(&raw const (*scratch).current.rounds.hash) })
}

/// Leaves the name's hash in the scratch; false if there is none. A function of its own: see `count`.
#[inline(never)]
fn hash_name(scratch: *mut Scratch, pointer: u64, len: u32) -> bool {
    if len > NAME_MAX as u32 {
        return false;
    }
    let Some(settings) = settings() else {
        return false;
    };
    // SAFETY: the buffer has room for 264 bytes; the helper checks the kernel address. `whole` is at most 31 of its
    // 33 words.
    unsafe {
        let words = (&raw mut (*scratch).name).cast::<u64>();
        let len = bounded(len);
        if bpf_probe_read_kernel(words.cast(), len, pointer as *const c_void) != 0 {
            return false;
        }
        let (whole, rest) = (len / 8, len % 8);
        let end = words.add((whole & 31) as usize);
        let tail = core::ptr::read_volatile(end) & ((1u64 << (rest * 8)) - 1);
        core::ptr::write_volatile(end, last_word(tail, u64::from(len)));
        (*scratch).current.rounds.sip = Sip::narrow(settings.secret);
        take_in(scratch, whole + 1);
        let hash = (*scratch).current.rounds.sip.finish();
        core::ptr::write_volatile(&raw mut (*scratch).current.rounds.hash, hash);
    }
    true
}

/// The same length, masked where LLVM cannot see that the mask is redundant: the verifier needs the bound.
#[inline(always)]
pub fn bounded(len: u32) -> u32 {
    let mut bounded = u64::from(len);
    // SAFETY: one arithmetic instruction on a register.
    unsafe { core::arch::asm!("{0} &= 255", inout(reg) bounded) };
    bounded as u32
}
