//! The path automaton: which entry ranges an object meets, by the labels and by the names on its way up.
//!
//! Every path rule matches both by label (the identity of an object that existed when the policy was
//! installed) and by name below a labelled directory, so that a replaced, renamed-over or new object is covered
//! at once. The walk itself, reading kernel memory, is the caller's; this file never touches memory.

use crate::abi::image::{Node, Range, Shape};

/// What one level of the way down yields. Level 0 is the object, the highest level the file system's root.
pub trait Levels {
    /// Node that labels the object at `level` by identity, 0 for none.
    fn label(&mut self, level: u32) -> u32;
    /// [`name_bit`] of the component's name at `level`; `None` if it could not be read.
    fn name_bit(&mut self, level: u32) -> Option<u64>;
    /// Hash of the component's name at `level`; `None` if it could not be read.
    fn name_hash(&mut self, level: u32) -> Option<u64>;
    /// Node reached from `node` by a component, 0 for none.
    fn edge(&mut self, node: u32, name_hash: u64) -> u32;
    /// Node reached from `node` by the patterns that the component's name at `level` matches, 0 for none; `None` if the
    /// name could not be read, or the image is incomplete.
    fn wild(&mut self, node: u32, level: u32) -> Option<u32>;
    /// Entry ranges of `node`; `None` means that the image is incomplete.
    fn node(&mut self, node: u32) -> Option<Node>;
    /// Takes in a matched range; false if there is no room left.
    fn matched(&mut self, range: Range) -> bool;
}

/// States of the automaton at one level: at most one by identity and one by name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// By the label of the directory itself
    pub by_label: u32,
    /// By the name of the directory below a matched one
    pub by_name: u32,
}

/// One step down, from the parent's `states` to `level`. `None` means that the walk cannot be judged and the
/// attempt is to be restricted.
#[inline(always)]
pub fn step<L: Levels>(levels: &mut L, states: States, level: u32) -> Option<States> {
    let by_label = levels.label(level);
    let by_name = by_name(levels, states, level)?;
    if by_label != 0 {
        collect(levels, by_label, level)?;
    }
    if by_name != 0 && by_name != by_label {
        collect(levels, by_name, level)?;
    }
    Some(States { by_label, by_name })
}

/// Follows the component from both parent states. Two different targets would need a third state: the parent
/// was renamed into the place of another labelled one, with further rules below both. That is refused.
#[inline(always)]
fn by_name<L: Levels>(levels: &mut L, states: States, level: u32) -> Option<u32> {
    if states.by_label == 0 && states.by_name == 0 {
        return Some(0);
    }
    let bit = levels.name_bit(level)?;
    let of_label = names(levels, states.by_label)?;
    let of_name = names(levels, states.by_name)?;
    if bit & (of_label | of_name) == 0 {
        return Some(0);
    }
    let name_hash = levels.name_hash(level)?;
    let mut found = 0;
    if states.by_label != 0 {
        found = follow(levels, states.by_label, of_label, name_hash, level)?;
    }
    if states.by_name != 0 && states.by_name != states.by_label {
        let other = follow(levels, states.by_name, of_name, name_hash, level)?;
        if found == 0 {
            found = other;
        } else if other != 0 && other != found {
            return None;
        }
    }
    Some(found)
}

/// Literal names first: their nodes have what patterns say of them, too. Where there are patterns, all bits are set.
#[inline(always)]
fn follow<L: Levels>(levels: &mut L, node: u32, names: u64, hash: u64, level: u32) -> Option<u32> {
    let literal = levels.edge(node, hash);
    if literal != 0 || names != u64::MAX {
        return Some(literal);
    }
    levels.wild(node, level)
}

/// Key of the step by a pattern: the hashes of what is before and behind its star, which are never a name's hash with
/// both lengths.
#[inline(always)]
pub const fn wild_hash(start: u64, end: u64, shape: Shape) -> u64 {
    let lengths = (shape.start as u64) << 8 | shape.end as u64;
    start ^ end.rotate_left(32) ^ lengths.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Key of the step from a node to what is also the node `other`. As unlikely to be a name's hash as another name's.
#[inline(always)]
pub const fn and_hash(other: u32) -> u64 {
    (other as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2f2a_2f2a_2f2a_2f2a
}

#[inline(always)]
fn names<L: Levels>(levels: &mut L, node: u32) -> Option<u64> {
    if node == 0 {
        return Some(0);
    }
    Some(levels.node(node)?.names)
}

/// One of 64 bits, by what a name begins with and its length: names of different bits differ.
#[inline(always)]
pub const fn name_bit(first: [u8; 8], len: u32) -> u64 {
    let word = u64::from_le_bytes(first) ^ (len as u64) << 56;
    // As in `abi::place`: the product's highest bits depend on all of the word.
    1 << (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

/// [`name_bit`] of a whole name.
pub fn bit_of(name: &[u8]) -> u64 {
    let mut first = [0; 8];
    first
        .iter_mut()
        .zip(name)
        .for_each(|(to, from)| *to = *from);
    name_bit(first, u32::try_from(name.len()).unwrap_or(u32::MAX))
}

/// The object itself meets `here`; whatever lies under a node meets `below`.
#[inline(always)]
fn collect<L: Levels>(levels: &mut L, node: u32, level: u32) -> Option<()> {
    let node = levels.node(node)?;
    let range = if level == 0 { node.here } else { node.below };
    if range.len != 0 && !levels.matched(range) {
        return None;
    }
    Some(())
}
