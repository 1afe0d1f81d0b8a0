//! The compiled policy image: what the kernel looks up while it judges.
//!
//! Two images live side by side, told apart by `slot` (0 or 1) in every key or index. The agent builds the
//! idle one and then writes the single `u64` of the `ACTIVE` map, so that no decision sees a mixture.

/// `ACTIVE[ACTIVE_IMAGE]` holds `generation << 1 | slot`, see [`active_image`]; zero means that no image was ever installed.
pub const ACTIVE_IMAGE: u32 = 0;
/// `ACTIVE[ACTIVE_BUILDING]` is `slot + 1` from before the first write to an idle slot until after the flip,
/// else 0. A decision that finds its own slot under construction when it ends is void and restricts.
pub const ACTIVE_BUILDING: u32 = 1;
/// `ACTIVE[ACTIVE_CHANGES]` counts installations, each before its flip, and changes of the labels of a live slot, each
/// after its last write: whatever a program keeps of an image holds for this number and this image only. The image
/// alone would not do, because one generation can be installed again.
pub const ACTIVE_CHANGES: u32 = 2;
/// `ACTIVE[ACTIVE_UNRULED]` has the operations, see [`super::code::op`], of which no entry is, for any subject: a hook
/// that is about nothing else need not know who asks. What a new image names is taken out before its flip, and what only
/// the old one named is put in after it; likewise the addresses of `UNRULED_NETS`.
pub const ACTIVE_UNRULED: u32 = 3;
/// `ACTIVE[ACTIVE_AGENT]` is when the agent last said that all of it goes on, on `CLOCK_BOOTTIME`; 0 once it ends. See
/// [`super::pulse`].
pub const ACTIVE_AGENT: u32 = 4;
/// `ACTIVE[ACTIVE_FRESH_FOR]` is for how many nanoseconds leases count after the last proof that this host has the newest state; see
/// [`super::pulse::is_fresh`]. 0, as in a map that nobody wrote, lets none count; `u64::MAX` asks for no proof.
pub const ACTIVE_FRESH_FOR: u32 = 5;
/// `ACTIVE[ACTIVE_PROVEN_BOOT]` and `ACTIVE[ACTIVE_PROVEN_TAI]` are a moment before the control plane last looked and found that this host
/// has the newest state, on `CLOCK_BOOTTIME` and `CLOCK_TAI`.
pub const ACTIVE_PROVEN_BOOT: u32 = 6;
/// See [`ACTIVE_PROVEN_BOOT`].
pub const ACTIVE_PROVEN_TAI: u32 = 7;
/// Entries of the `ACTIVE` map.
pub const ACTIVE_ENTRIES: u32 = 8;
/// Slot bit of `ACTIVE[ACTIVE_IMAGE]`.
pub const ACTIVE_SLOT_MASK: u64 = 1;
/// Bit of `ACTIVE[ACTIVE_IMAGE]` for an image of generation 0, which a host makes of its own before the control plane ever sent
/// one: without it slot 0 would read as no image.
pub const ACTIVE_OF_HOST: u64 = 1 << 63;
/// Highest generation that an image can have: one more bit and it would be taken for the host's own, two more and slot 0 would
/// read as no image at all, which guards nobody. A control plane that counts a billion changes a second gets there in 73 years.
pub const GENERATION_MAX: u64 = (ACTIVE_OF_HOST >> 2) - 1;

/// `ACTIVE[ACTIVE_IMAGE]` for an image of this generation in this slot; never zero up to [`GENERATION_MAX`].
pub const fn active_image(generation: u64, slot: u32) -> u64 {
    let own = if generation == 0 { ACTIVE_OF_HOST } else { 0 };
    own | generation << 1 | slot as u64 & ACTIVE_SLOT_MASK
}

/// The generation of `ACTIVE[ACTIVE_IMAGE]`; 0 for an image that the host made of its own.
pub const fn active_generation(image: u64) -> u64 {
    (image & !ACTIVE_OF_HOST) >> 1
}

/// The same of what a record has, which is the image without its slot.
pub const fn recorded_generation(image: u64) -> u64 {
    image & !(ACTIVE_OF_HOST >> 1)
}

/// Whether the slot that `judged` names may have been rewritten since `judged` was read from `ACTIVE[ACTIVE_IMAGE]`.
///
/// `building` must be read between the two reads of the image. While the image is the same, a rebuild can begin but
/// not end, so that none is missed; and an image that has come back to this slot has rebuilt it. Three flips later
/// the slot's parity says nothing any more: the installer keeps flips further apart than any decision lasts.
#[inline(always)]
pub const fn slot_was_rebuilt(judged: u64, before: u64, building: u64, after: u64) -> bool {
    let slot = judged & ACTIVE_SLOT_MASK;
    let again = after & ACTIVE_SLOT_MASK == slot || building == slot + 1;
    before != after || (after != judged && again)
}

/// Rule and permission entries per slot; bounds the array at 2 x 16384 x 64 bytes = 2 MiB.
pub const ENTRIES_PER_SLOT: u32 = 16_384;
/// Path nodes per slot; bounds the array at 2 x 65536 x 24 bytes = 3 MiB.
pub const NODES_PER_SLOT: u32 = 65_536;
/// The node that no path leads to: its `here` are the entries that have no object, see `code::op::SYSTEM`.
pub const SYSTEM_NODE: u32 = 0;
/// The node of `/`, where every path begins; its `below` are the entries on everything.
pub const ROOT_NODE: u32 = 1;
/// Edges (path components) in both slots; allocated on demand.
pub const EDGES_MAX: u32 = 131_072;
/// Labelled objects in both slots; allocated on demand.
pub const LABELS_MAX: u32 = 131_072;
/// Subjects in both slots; allocated on demand.
pub const SUBJECTS_MAX: u32 = 65_536;
/// Rows of leases in both slots; allocated on demand.
pub const LEASES_MAX: u32 = 65_536;
/// Entries that one attempt may meet, over all directories above the object. The compiler refuses a policy
/// that could exceed it; the kernel restricts if it is exceeded all the same.
pub const ENTRIES_PER_ATTEMPT_MAX: u32 = 64;
/// Sets of subjects on one host: one bit each in `Subject::sets`.
pub const SUBJECT_SETS_MAX: u32 = 64;
/// Leases of one subject on one permission that the kernel compares; the agent keeps the longest ones, which
/// loses nothing because their union is decided by the last deadlines.
pub const LEASES_PER_ROW: usize = 4;

/// Key of a labelled object: identity as read by our own hook, never by `stat`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelKey {
    /// `inode.i_ino`
    pub ino: u64,
    /// `super_block.s_dev`, kernel encoding (major << 20 | minor)
    pub dev: u32,
    /// `inode.i_generation`
    pub igen: u32,
    /// Image slot
    pub slot: u32,
    /// Zero
    pub pad: u32,
}

/// Bits of [`LabelBits`]; with 10,000 labels one unlabelled object in seven is looked up for nothing.
const LABEL_BITS: u32 = 16;
const LABEL_WORDS: usize = (1 << LABEL_BITS) / 64;

/// Which objects of a slot may have a label: the bit of every one that has is set. Most have none, and need no look-up.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LabelBits {
    /// See [`label_bit`]
    pub words: [u64; LABEL_WORDS],
}

impl Default for LabelBits {
    /// No object has a label.
    fn default() -> Self {
        Self {
            words: [0; LABEL_WORDS],
        }
    }
}

impl LabelBits {
    /// Notes that an object has one.
    pub fn set(&mut self, key: &LabelKey) {
        let (word, bit) = label_bit(key.ino, key.dev);
        if let Some(word) = self.words.get_mut(word) {
            *word |= bit;
        }
    }

    /// Bits of either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut both = *self;
        both.words
            .iter_mut()
            .zip(other.words)
            .for_each(|(word, bits)| *word |= bits);
        both
    }
}

impl core::fmt::Debug for LabelBits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let set: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        write!(f, "LabelBits({set} set)")
    }
}

/// Word and bit of an object.
#[inline(always)]
pub const fn label_bit(ino: u64, dev: u32) -> (usize, u64) {
    // As in `place`: the product's highest bits depend on all of the number.
    let mixed = (ino ^ (dev as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - LABEL_BITS);
    ((mixed >> 6) as usize, 1 << (mixed & 63))
}

/// Value of a labelled object: the node of the path automaton that it stands for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Node index, from 1
    pub node: u32,
    /// Zero
    pub pad: u32,
}

/// Key of one step of the path automaton.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeKey {
    /// SipHash-2-4-64 of the component under the boot secret
    pub name_hash: u64,
    /// Node index
    pub node: u32,
    /// Image slot
    pub slot: u32,
}

/// A run of entries: `start .. start + len` within the slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First entry
    pub start: u32,
    /// Number of entries
    pub len: u16,
    /// Bits of [`range_flag`]
    pub flags: u16,
}

/// Flags of a [`Range`].
pub mod range_flag {
    /// Some entry has a condition on arguments.
    pub const CONDITIONS: u16 = 1 << 0;
}

/// One node of the path automaton. Index 0 is no node of it, see [`SYSTEM_NODE`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Entries on this very object
    pub here: Range,
    /// Entries on everything strictly below this directory
    pub below: Range,
    /// The bits of its children's names, see [`crate::path::name_bit`]: most names lead nowhere, and are not hashed
    pub names: u64,
    /// What patterns look for among them, in order; those that are empty come last
    pub shapes: [Shape; SHAPES_MAX],
}

impl Node {
    /// Takes in the shape of one more pattern. More than fit are the caller's error, who counts them.
    pub fn add_shape(&mut self, shape: Shape) {
        if self.shapes.contains(&shape) {
            return;
        }
        if let Some(last) = self.shapes.last_mut()
            && last.is_none()
        {
            *last = shape;
        }
        self.shapes
            .sort_unstable_by_key(|shape| (shape.is_none(), *shape));
    }
}

/// Shapes that are tried for each name in one directory: two hashes and a look-up each.
pub const SHAPES_MAX: usize = 8;

/// The lengths of what patterns like `app-*.log` have before and behind their star: 4 and 4.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// One more than the bytes before the star; 0 = no shape
    pub start: u8,
    /// Bytes behind it
    pub end: u8,
}

impl Shape {
    /// The shape of these lengths; a component has at most 255 bytes with its star.
    pub const fn new(start: u8, end: u8) -> Self {
        Self {
            start: start.saturating_add(1),
            end,
        }
    }

    /// Whether nothing is looked for.
    pub const fn is_none(self) -> bool {
        self.start == 0
    }
}

/// One rule, or one membership of a permission, on one object or address range.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Stable key of `policy/rule` (0 for a pure permission entry)
    pub rule: u64,
    /// Stable key of `policy/permission` (0 for none)
    pub permission: u64,
    /// Subject sets to which it applies
    pub subjects: u64,
    /// See [`super::code::effect`]
    pub effect: u32,
    /// Operations as bits, see [`super::code::op`]
    pub ops: u32,
    /// Rank in the document order over all policies; the lowest matching one is named in the record
    pub order: u32,
    /// How long a hold waits
    pub timeout_ms: u32,
    /// Bits of [`entry_flag`]
    pub flags: u16,
    /// Of effect throttle: its rate's row, which is also its bit
    pub rate: u16,
    /// First port, 0 with `port_last` 65535 for any
    pub port_first: u16,
    /// Last port, inclusive
    pub port_last: u16,
    /// First step of the condition on the arguments
    pub args_first: u32,
    /// Steps of that condition; 0 for none
    pub args_len: u32,
    /// Protocol of the socket, see [`super::code::protocol`]
    pub protocol: u32,
    /// When it counts: a row of the slot's schedules, 0 for always
    pub schedule: u32,
}

/// Flags of an [`Entry`].
pub mod entry_flag {
    /// The policy is in monitor mode: record, never restrict.
    pub const MONITOR: u16 = 1 << 0;
    /// Record an allow, too.
    pub const RECORD: u16 = 1 << 1;
    /// Of what was matched, never of an entry: its condition only may be met.
    pub const UNSURE: u16 = 1 << 2;
    /// With no agent alive, what this holds waits for one all the same.
    pub const WAITS_WITHOUT_AGENT: u16 = 1 << 3;
    /// What a grant lets through in spite of this goes on, also if its record finds no room.
    pub const GOES_ON_UNRECORDED: u16 = 1 << 4;
    /// What counts only if everything that restricts an attempt says so.
    pub const ON_LOSS: u16 = WAITS_WITHOUT_AGENT | GOES_ON_UNRECORDED;
}

/// Longest pattern of an argument, in bytes with the NUL that ends a literal one.
pub const ARG_PATTERN_BYTES: usize = 124;
/// Patterns in both slots; allocated on demand.
pub const ARG_PATTERNS_MAX: u32 = 65_536;
/// Steps of conditions per slot; bounds the array at 2 x 32768 x 28 bytes = 1.75 MiB. Step 0 is no step.
pub const ARG_STEPS_PER_SLOT: u32 = 32_768;
/// Prefix bits that the space takes in an [`ArgKey`].
pub const ARG_SPACE_BITS: u32 = 32;

/// Data part of the pattern trie's key. A pattern that is stored is found by every argument that begins with it; a
/// literal one has its NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArgKey {
    /// [`arg_space`], big-endian so that it is the top of the prefix
    pub space_be: [u8; 4],
    /// The argument from its beginning, or backwards from its end; what is behind its NUL means nothing
    pub text: [u8; ARG_PATTERN_BYTES],
}

/// Slot and direction of an [`ArgKey`].
#[inline(always)]
pub const fn arg_space(slot: u32, backwards: bool) -> u32 {
    slot << 1 | backwards as u32
}

/// One step of a condition: what one argument, or the process, or the file has to be. Patterns are numbered from 1 in the
/// order of their bytes, forwards and backwards apart, so that those that begin with one of them are a run of numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArgStep {
    /// Numbers of the longest pattern that the argument may begin with; from 0 for any. Of a step on programs: a node
    pub prefix_first: u32,
    /// See `prefix_first`
    pub prefix_last: u32,
    /// Numbers of the longest pattern that it may end with; from 0 for any
    pub suffix_first: u32,
    /// See `suffix_first`
    pub suffix_last: u32,
    /// Least length: pattern and pattern do not overlap
    pub min_len: u32,
    /// Letter of an option, see [`crate::args::letter`]; 0 for none, else nothing but the letter counts
    pub letter: u32,
    /// Bits of [`step_flag`]
    pub flags: u16,
    /// Where the argument has to stand, from 1; 0 for anywhere. Of other steps see [`step_flag`]
    pub place: u16,
}

/// Flags of an [`ArgStep`].
pub mod step_flag {
    /// The last one of its sequence.
    pub const SEQUENCE_ENDS: u16 = 1 << 0;
    /// The last one of its clause, and so of its sequence.
    pub const CLAUSE_ENDS: u16 = 1 << 1;
    /// A word of a subcommand: no option matches, and only where the subcommand comes first it surely is one.
    pub const WORD: u16 = 1 << 2;
    /// Of step 0: some pattern is compared from the end.
    pub const HAS_SUFFIXES: u16 = 1 << 3;
    /// No argument is looked at: as many as `place` says there have to be.
    pub const COUNT: u16 = 1 << 4;
    /// With `COUNT`: or more.
    pub const OR_MORE: u16 = 1 << 5;
    /// No argument is looked at: the agent says whether it is so, and `place` is the number of the question. Of step
    /// 0: some step is one.
    pub const FACT: u16 = 1 << 6;
    /// With `FACT`: it must not be so.
    pub const NEGATED: u16 = 1 << 7;
    /// No argument is looked at: whether the process has a terminal has to be what `place` says (1 or 0).
    pub const TERMINAL: u16 = 1 << 8;
    /// No argument is looked at: what starts the program has to run what the node `prefix_first` labels. Node 0 is one
    /// that cannot be told, and where `place` is not zero it only may be the one that is meant.
    pub const PARENT: u16 = 1 << 9;
    /// As `PARENT`, or anything that it descends from.
    pub const ANCESTOR: u16 = 1 << 10;
    /// With `FACT`: it is about the file and can be told without arguments. Of step 0: some step is one.
    pub const OF_FILE: u16 = 1 << 11;
    /// Of step 0: some fact is about arguments.
    pub const OF_ARGUMENTS: u16 = 1 << 12;
    /// Steps on the process. Of step 0: what the image asks of it.
    pub const PROCESS: u16 = TERMINAL | PARENT | ANCESTOR;
    /// Those on the programs that it comes from.
    pub const LINEAGE: u16 = PARENT | ANCESTOR;
}

/// What is known of one argument of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Letters and digits behind a single dash, by [`crate::args::letter`]
    pub letters: u64,
    /// Number of the longest pattern that it begins with, 0 for none
    pub prefix: u32,
    /// Number of the longest pattern that it ends with, 0 for none
    pub suffix: u32,
    /// Its length in bytes; of a longer one as much as was looked at
    pub len: u32,
    /// Bits of [`token_flag`]
    pub flags: u16,
    /// Its place behind `argv[0]`, from 1
    pub place: u16,
}

/// Flags of a [`Token`].
pub mod token_flag {
    /// It begins with a dash and is more than that.
    pub const OPTION: u16 = 1 << 0;
    /// It is longer than what was looked at.
    pub const END_UNKNOWN: u16 = 1 << 1;
    /// It is an option with more letters than were looked at.
    pub const MORE_LETTERS: u16 = 1 << 2;
}

/// Bit of [`SubjectKey::slot`]: the row says that this user is a service, which is a subject where nobody has logged in, too.
pub const SERVICE_ROW: u32 = 1 << 1;

/// Key of a subject.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectKey {
    /// Pinned login uid
    pub auid: u32,
    /// Image slot, and perhaps [`SERVICE_ROW`]
    pub slot: u32,
}

/// What the image says of a subject.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Subject sets to which the login uid belongs; none = guarded by no policy
    pub sets: u64,
    /// Operations that any entry of these sets names: nothing else is looked up at all
    pub ops: u32,
    /// Operations that a deny, require-grant or hold entry outside monitor mode names: only these are
    /// restricted when an attempt cannot be judged
    pub restricted_ops: u32,
}

/// Key of a row of leases.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseKey {
    /// Stable key of `policy/permission`
    pub permission: u64,
    /// Pinned login uid
    pub auid: u32,
    /// Image slot
    pub slot: u32,
}

/// One lease: over as soon as *either* clock reaches its deadline. A zeroed lease is over.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Deadline on `CLOCK_BOOTTIME`
    pub boot_deadline_ns: u64,
    /// Deadline on `CLOCK_TAI`
    pub tai_deadline_ns: u64,
    /// Grant id (a UUID, big-endian halves)
    pub grant: [u64; 2],
}

/// The leases of one subject on one permission.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseRow {
    /// Unused places are zero
    pub leases: [Lease; LEASES_PER_ROW],
}

/// Names of unix sockets that have no file, in both slots; allocated on demand.
pub const NAMES_MAX: u32 = 32_768;
/// Bytes of such a name: `UNIX_PATH_MAX` (include/uapi/linux/un.h) without the NUL in front.
pub const NAME_BYTES: usize = 107;
/// Where the length of a whole name stands in [`ArgKey::text`], which is its key: names may have a NUL anywhere.
pub const NAME_LEN_AT: usize = ARG_PATTERN_BYTES - 1;

/// What never changes while this boot lasts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Secret of digests and name hashes; 16 random bytes made once per boot
    pub secret: [u64; 2],
    /// Holds that may be pending for one subject
    pub holds_per_subject: u32,
    /// Stops of one pending call before it is denied
    pub restops_max: u32,
}

const _: () = assert!(size_of::<LabelKey>() == 24);
const _: () = assert!(size_of::<LabelBits>() == 8192);
const _: () = assert!(size_of::<EdgeKey>() == 16);
const _: () = assert!(size_of::<Node>() == 40);
const _: () = assert!(size_of::<Entry>() == 64);
const _: () = assert!(size_of::<ArgKey>() == 128);
const _: () = assert!(size_of::<ArgStep>() == 28);
const _: () = assert!(size_of::<Token>() == 24);
const _: () = assert!(size_of::<Subject>() == 16);
const _: () = assert!(size_of::<LeaseKey>() == 16);
const _: () = assert!(size_of::<LeaseRow>() == 128);
const _: () = assert!(NAME_BYTES < NAME_LEN_AT);
const _: () = assert!(size_of::<Settings>() == 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_host_itself_is_an_image_and_has_generation_0() {
        for slot in [0, 1] {
            for generation in [0, 1, 7, GENERATION_MAX - 1, GENERATION_MAX] {
                let image = active_image(generation, slot);
                assert_ne!(image, 0);
                assert_eq!(image & ACTIVE_SLOT_MASK, u64::from(slot));
                assert_eq!(active_generation(image), generation);
                assert_eq!(recorded_generation(image >> 1), generation);
            }
        }
    }

    /// What an installer writes, step by step, from generation 1 in slot 1: `(building, image)` after each step.
    fn steps() -> impl Iterator<Item = (u64, u64)> {
        (1..6u64).flat_map(|generation| {
            let (old, new) = (generation & 1, (generation + 1) & 1);
            let (before, after) = (generation << 1 | old, (generation + 1) << 1 | new);
            [(0, before), (new + 1, before), (new + 1, after), (0, after)]
        })
    }

    /// Whether the writing that follows step `at` of [`steps`] changes `slot`: not any more after its flip.
    fn writes(at: usize, slot: u64) -> bool {
        steps().nth(at).is_some_and(|(building, image)| {
            building == slot + 1 && image & ACTIVE_SLOT_MASK != slot
        })
    }

    #[test]
    fn a_decision_on_a_slot_that_was_rewritten_meanwhile_never_stands() {
        let count = steps().count();
        for begun in 0..count {
            let judged = steps().nth(begun).unwrap().1;
            for first in begun..count {
                for second in first..count {
                    for third in second..count {
                        let before = steps().nth(first).unwrap().1;
                        let building = steps().nth(second).unwrap().0;
                        let after = steps().nth(third).unwrap().1;
                        // The bound of the installer: no third flip.
                        if (after >> 1) - (judged >> 1) > 2 {
                            continue;
                        }
                        // What was judged was read before the first of the three.
                        let rewritten =
                            (begun..first).any(|at| writes(at, judged & ACTIVE_SLOT_MASK));
                        assert!(
                            !rewritten || slot_was_rebuilt(judged, before, building, after),
                            "{begun} {first} {second} {third}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn one_flip_and_a_rebuild_of_the_other_slot_void_nothing() {
        assert!(!slot_was_rebuilt(2 << 1, 2 << 1, 0, 2 << 1));
        assert!(!slot_was_rebuilt(2 << 1, 2 << 1, 2, 2 << 1));
        assert!(!slot_was_rebuilt(2 << 1, 3 << 1 | 1, 2, 3 << 1 | 1));
        assert!(!slot_was_rebuilt(2 << 1, 3 << 1 | 1, 0, 3 << 1 | 1));
    }
}
