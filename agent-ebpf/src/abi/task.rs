//! What the kernel keeps per guarded task: the pin and the lineage of each; the answers of the current call, and room to
//! judge in, of one that was judged once.
//!
//! Scratch lives here and never in per-CPU maps or on the 512-byte stack: LSM programs are preemptible, and
//! another task on the same CPU could swap a buffer between its check and its use.

use super::fact::{Asked, FactBits, FactKey};
use super::hold::HoldKey;
use super::image::{ARG_PATTERN_BYTES, LabelKey, Range, Subject, Token};
use super::place::Directory;
use crate::args::Matcher;
use crate::decide::{Attempt, Decision, Judge, Now};
use crate::path::States;
use crate::siphash::Sip;

/// Directory levels that one walk covers. Deeper objects fail closed for restricting rules.
pub const DEPTH_MAX: usize = 64;
/// `NAME_MAX` (linux/limits.h).
pub const NAME_MAX: usize = 255;
/// Words of a buffer for one component or one piece of an argument: 256 bytes and one word of slack.
pub const NAME_WORDS: usize = 33;
/// Entry ranges that one attempt may match.
pub const RANGES_MAX: usize = 16;
/// Answers that one call can need: a script and its interpreters (`BINPRM_MAX_RECURSION` 4 + 1) are the most
/// hooks in one call, and three more are spare.
pub const ANSWERS_MAX: usize = 8;

/// Distinct programs that are kept of all that a task descends from: a compiler in a build that a script runs under a
/// terminal multiplexer has a dozen. One more, and nobody can say of any other that it is none of them.
pub const ANCESTORS_MAX: usize = 24;
/// What one process runs: the file that was executed, and the one that the kernel runs for it (a script's interpreter).
pub const OWN_PROGRAMS: usize = 2;
/// Own programs, those of the process that forked this one, and the ancestors.
pub const PROGRAMS_MAX: usize = 2 * OWN_PROGRAMS + ANCESTORS_MAX;
/// Processes that are looked at on the way up from one that was there before its pin; more are no ordinary descent.
pub const DESCENT_MAX: usize = 32;

/// Who a task is; never derived again from the task's own fields once it is set.
pub mod pin {
    /// Storage is new and says nothing yet; whoever meets it is refused.
    pub const NONE: u32 = 0;
    /// A person by login uid.
    pub const LOGIN: u32 = 0x6c69;
    /// The agent's labelling thread: its opens are reported in the `IDENTITY` map and never judged.
    pub const AGENT: u32 = 0xa9e7;
}

/// One answered question of the current call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Digest of the action
    pub digest: [u64; 2],
    /// The hold that was approved; 0 = free place
    pub hold: u64,
    /// Registers of the call that asked (hash): a restart of the same call has the same
    pub call: u64,
    /// Deadline of the hold: an approval kept for a restart that never comes must not outlive it
    pub boot_deadline_ns: u64,
    /// 1 once this attempt has used it
    pub seen: u32,
    /// Zero
    pub pad: u32,
}

/// An executable, by the identity that keys labels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// `inode.i_ino`; 0 for no program
    pub ino: u64,
    /// `super_block.s_dev`
    pub dev: u32,
    /// `inode.i_generation`
    pub igen: u32,
}

/// Flags of a [`Lineage`].
pub mod lineage {
    /// It was read.
    pub const KNOWN: u32 = 1 << 0;
    /// The program of the process that forked this one could not be read.
    pub const PARENT_UNKNOWN: u32 = 1 << 1;
    /// There are or may be ancestors that are not kept.
    pub const MORE: u32 = 1 << 2;
}

/// Which programs a process comes from. Inherited at fork, so that neither a parent's end nor a new session nor another
/// program in the same process changes what is above.
#[repr(C)]
pub struct Lineage {
    /// [`OWN_PROGRAMS`] of its own, as many of the process that forked it, then those of everything that it descends
    /// from, its own with them, each once
    pub programs: [Program; PROGRAMS_MAX],
    /// Ancestors
    pub count: u32,
    /// Bits of [`lineage`]
    pub flags: u32,
}

/// Words of a [`Lineage`].
pub const LINEAGE_WORDS: usize = size_of::<Lineage>() / 8;

/// What is worked with where a lineage grows.
#[repr(C)]
pub struct Growth {
    /// The file that the call at hand executes: what its caller named, before a loader put an interpreter in its place
    pub called: Program,
    /// Program that is taken in
    pub taken: Program,
    /// Process on the way up
    pub at: u64,
    /// Not zero: `taken` is an ancestor already
    pub found: u64,
}

/// What of a lineage an image names.
#[repr(C)]
pub struct Descent {
    /// Nodes of programs that conditions name
    pub count: u32,
    /// How many of them, the first ones, are those of whatever starts the program
    pub parents: u32,
    /// See [`lineage`]; zero where nobody looked
    pub flags: u32,
    /// Zero
    pub pad: u32,
    /// By [`Lineage::programs`], without those that have no label
    pub nodes: [u32; PROGRAMS_MAX],
}

/// One level of a path walk, index 0 is the object.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Level {
    /// Kernel address of the component's bytes (read again with a checked helper)
    pub name_ptr: u64,
    /// Length of the component
    pub name_len: u32,
    /// Node by identity label, 0 for none
    pub label: u32,
    /// `dentry.d_seq` when the level was read; a rename changes it
    pub seq: u32,
    /// Zero
    pub pad: u32,
}

/// What a record says beyond the attempt and the decision.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// See `code::class`
    pub class: u32,
    /// See `code::verdict`
    pub verdict: u32,
    /// See `code::reason`
    pub reason: u32,
    /// Bits of `record_flag`
    pub flags: u32,
}

/// What a hook is about to do; kept in memory because the verifier would follow each variant apart.
pub mod plan {
    /// Record, then deny whether or not the record found room.
    pub const DENY: u32 = 0;
    /// Nothing to record: go on.
    pub const GO_ON: u32 = 1;
    /// Nothing to record: stopped again.
    pub const STOPPED: u32 = 2;
    /// Record, then go on; without room go on all the same.
    pub const OBSERVE: u32 = 3;
    /// Record before the privilege: without room deny.
    pub const GRANT: u32 = 4;
    /// As `GRANT`, and keep the answer for the rest of the call.
    pub const APPROVED: u32 = 5;
    /// Record before the stop: without room deny.
    pub const OPEN: u32 = 6;
    /// Record the end of a hold that another question replaces, then have the call issued again.
    pub const AGAIN: u32 = 7;
}

/// What kernel loops (`bpf_loop`) carry from round to round. Here and not on the stack: kernels before 6.7
/// verify a callback once, with the values of its first round, and remove branches that only later rounds take.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Rounds {
    /// Range and entry that are judged next
    pub range: u32,
    /// See `range`
    pub entry: u32,
    /// Not zero: the loop cannot be relied on
    pub failed: u32,
    /// Not zero: the loop came to its end by itself
    pub ended: u32,
    /// What the scan of answers found
    pub found: u32,
    /// Whole pieces copied into a record
    pub count: u32,
    /// Flags of a record in the making
    pub flags: u32,
    /// Vector that is digested: 0 arguments, 1 environment, 2 finished
    pub phase: u32,
    /// Bytes used in a record
    pub at: u64,
    /// String that is digested, and the offset in it
    pub index: u64,
    /// See `index`
    pub offset: u64,
    /// User addresses of `argv` and `envp`
    pub vectors: [u64; 2],
    /// The digest so far
    pub sip: Sip,
    /// The hash so far over what is behind `argv[0]`
    pub tail: Sip,
    /// Strings in either vector
    pub counts: [u64; 2],
    /// Letters of the option that is read
    pub letters: u64,
    /// The name's hash
    pub hash: u64,
    /// Names that are tried with patterns
    pub wild: Tried,
    /// Place in the condition that is judged
    pub matcher: Matcher,
    /// Whether the entry counts now, see [`crate::args::met`]
    pub scheduled: u32,
    /// Whether all that it asks for is so
    pub met: u32,
    /// First rate that is used up, all ones for none
    pub rate: u32,
    /// The same in monitor mode
    pub would_rate: u32,
    /// First rate that is enforced
    pub first_rate: u32,
    /// Not zero: one is taken out of each bucket
    pub taking: u32,
}

/// A name that is tried with the patterns of one directory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Where it is in the kernel
    pub pointer: u64,
    /// Hash of what it begins with
    pub start: u64,
    /// Its bytes
    pub len: u32,
    /// The directory's node
    pub node: u32,
    /// Image slot
    pub slot: u32,
    /// Where patterns lead so far
    pub found: u32,
}

/// Arguments that some condition can be about, of one call. A call with more of them has unknown arguments.
pub const TOKENS_MAX: usize = 64;
/// Bytes of one argument that conditions look at: one piece, see `strings`.
pub const ARG_BYTES_MAX: usize = 255;
/// Letters behind a single dash that conditions look at; more are no way to give options.
pub const LETTERS_MAX: usize = 32;

/// Key of the pattern trie, as the map has it.
#[repr(C)]
pub struct ArgLookup {
    /// Length of the prefix: all of it
    pub bits: u32,
    /// See `ArgKey`
    pub space_be: u32,
    /// See `ArgKey`
    pub text: [u32; ARG_PATTERN_BYTES / 4],
    /// Zero
    pub pad: u32,
}

/// The arguments of the execution at hand.
#[repr(C)]
pub struct CallArgs {
    /// Scratch of look-ups
    pub key: ArgLookup,
    /// Those that some condition can be about
    pub tokens: [Token; TOKENS_MAX],
    /// How many there are
    pub count: u32,
    /// Not zero: they could be read
    pub known: u32,
    /// What the image has, see `step_flag`
    pub flags: u32,
    /// Whether the process has a terminal, see `args::met`
    pub terminal: u32,
    /// What conditions looked at, without an environment
    pub judged: Strings,
    /// What an approval is bound to
    pub approved: Strings,
    /// Facts of it
    pub facts: CallFacts,
}

/// Facts of the execution at hand.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct CallFacts {
    /// Those that the agent told
    pub known: FactBits,
    /// Those of them that are so
    pub so: FactBits,
    /// Those that nobody can tell
    pub unknown: FactBits,
    /// Those that some condition is about and that are neither
    pub wanted: FactBits,
    /// What they are asked by
    pub key: FactKey,
    /// Not zero: something is in `wanted`
    pub open: u32,
    /// Not zero: the agent is at it
    pub working: u32,
    /// Not zero: somebody has the executed file open for writing
    pub written: u32,
    /// Not zero: some condition is about a fact that nobody can tell
    pub untold: u32,
}

/// What of [`Strings`] is compared.
pub mod compare {
    /// Nothing.
    pub const NOTHING: u64 = 0;
    /// Arguments.
    pub const ARGUMENTS: u64 = 1;
    /// Arguments and environment.
    pub const ALL: u64 = 2;
}

/// Arguments and environment as they were read from the caller's memory, to be compared with the new program's stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    /// See [`compare`]
    pub compare: u64,
    /// Arguments with `argv[0]`
    pub argc: u64,
    /// Strings of the environment, 0 where only the arguments count
    pub envc: u64,
    /// Hash over what is behind `argv[0]`
    pub hash: u64,
}

/// Where the object of an attempt is. All that is needed to see that no entry can be met there.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Here {
    /// `ACTIVE[ACTIVE_IMAGE]` when judging began
    pub active: u64,
    /// Its directory, as [`super::place`] knows it
    pub directory: Directory,
    /// What its name begins with
    pub beginning: u64,
    /// States of the path automaton in the directory, if it is known and the name may lead on from there
    pub states: States,
    /// The counter of renames when the directory was kept
    pub kept_at: u32,
    /// Device of its file system
    pub dev: u32,
    /// Scratch of pointer comparisons
    pub equal: u32,
    /// Zero
    pub pad: u32,
}

/// What one hook works with while it judges. Meaningless between hooks.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Current {
    /// Image, file system and directory
    pub here: Here,
    /// Both clocks when judging began
    pub now: Now,
    /// The same for leases; [`Now::NEVER`] where none counts
    pub leases_at: Now,
    /// What is judged
    pub attempt: Attempt,
    /// Object; for a creation, the directory
    pub object: LabelKey,
    /// Directory of the name that goes away or comes into being; all zero for none
    pub other: LabelKey,
    /// What else the action is, by operation: size, change time and version of an executable's content; mode and
    /// device of a node; the attributes that are set
    pub content: [u64; 4],
    /// Keyed hash of the name that goes away or comes into being
    pub name_hash: u64,
    /// Destination, IPv4 as mapped IPv6
    pub dest_addr: [u8; 16],
    /// Its family, see `Record::family`
    pub family: u32,
    /// Not zero: bytes of the name of a unix socket that has no file, which is in the key of `CallArgs`, and one more
    pub name_len: u32,
    /// Digest of the action
    pub digest: [u64; 2],
    /// Registers of this call (hash)
    pub call: u64,
    /// Hold that this attempt opened, met or used
    pub hold: u64,
    /// Its deadline
    pub boot_deadline_ns: u64,
    /// Open flags of a file action
    pub open_flags: u32,
    /// See `code::hook`
    pub hook: u32,
    /// Levels in `levels`
    pub depth: u32,
    /// Ranges in `ranges`
    pub range_count: u32,
    /// States of the path automaton on the way down
    pub states: States,
    /// The states above the object
    pub above: States,
    /// Ranges that were met above the object
    pub met_above: u32,
    /// Not zero: what is above the object may change without a rename that this kernel knows of
    pub fickle: u32,
    /// Not zero: some entry that was met has a condition on arguments
    pub conditions: u32,
    /// Not zero: the walk cannot be judged
    pub walk_failed: u32,
    /// See [`plan`]
    pub plan: u32,
    /// Not zero: this call asked about a creation and finds the file there
    pub given_up: u32,
    /// First of `levels` that the walk at hand uses: 0, or [`DEPTH_MAX`] for the second end
    pub base: u32,
    /// Levels of the second end, 0 for none
    pub other_depth: u32,
    /// Not zero: an end of the attempt could not be judged
    pub unjudged: u32,
    /// Not zero: part of the action is too long to be bound to an approval
    pub unholdable: u32,
    /// Not zero: the walk at hand stands
    pub walked: u32,
    /// Zero
    pub pad: u32,
    /// What the record will say
    pub said: Said,
    /// Key of the hold
    pub key: HoldKey,
    /// State of the kernel loops
    pub rounds: Rounds,
    /// Entries seen so far
    pub judge: Judge,
    /// The outcome
    pub decision: Decision,
}

/// Who a task is, what it comes from, and what the next hook has to know of the last one. Made at `task_alloc` or at
/// first sight, zeroed by the kernel. Every fork makes one, so that it has nothing that only judging needs.
#[repr(C)]
pub struct TaskState {
    /// See [`pin`]
    pub pin: u32,
    /// Pinned login uid
    pub auid: u32,
    /// Pinned audit session
    pub session: u32,
    /// Generation of the program that judged last and allowed; lets an older program that runs behind it
    /// during an upgrade stand back
    pub judged_by: u32,
    /// Unique per thread on this boot
    pub task_cookie: u64,
    /// Unique per thread group on this boot
    pub process_cookie: u64,
    /// What `ACTIVE[ACTIVE_IMAGE]` was when `subject` was read; 0 for never
    pub subject_of: u64,
    /// What `ACTIVE[ACTIVE_CHANGES]` was
    pub subject_changes: u64,
    /// What that image says of the task's subject
    pub subject: Subject,
    /// Call (registers, hash) whose name was looked up before its creation is judged; 0 for none
    pub looked_up: u64,
    /// Hold that asks about a creation and is not answered; zero cookie for none
    pub creation: HoldKey,
    /// Directory of a creation that `inode_create` allowed in this call; all zero for none
    pub created_in: LabelKey,
    /// Hash of the created name
    pub created_name_hash: u64,
    /// Call (registers, hash) that creates it
    pub created_call: u64,
    /// File systems below the one on which the kernel has just opened a program (overlayfs); 0 for none
    pub program_depth: u32,
    /// Operations that a unix datagram is about: what the last call on a socket was, 0 for none so far
    pub datagram_ops: u32,
    /// Not zero: this call asked about a creation and finds the file there
    pub given_up: u32,
    /// Not zero: the new program's arguments have to be what the scratch says, see [`CallArgs`]
    pub compared: u32,
    /// Scratch of a look at a directory
    pub here: Here,
    /// Scratch of the lineage
    pub growth: Growth,
    /// Which programs the task comes from
    pub lineage: Lineage,
}

/// What a task works with once something that it does is judged, and what was answered to it. Made at that moment, and
/// kept: most processes of a build or a script end before anything of theirs was judged.
#[repr(C)]
pub struct Scratch {
    /// [`TaskState::auid`] and those below, copied where an attempt begins
    pub auid: u32,
    /// See `auid`
    pub session: u32,
    /// See `auid`
    pub task_cookie: u64,
    /// See `auid`
    pub process_cookie: u64,
    /// Answers of the current call
    pub answered: [Answered; ANSWERS_MAX],
    /// Question about facts that the current call waits for
    pub asked: Asked,
    /// Programs of the task's lineage that the image names
    pub descent: Descent,
    /// What the hook at hand works with
    pub current: Current,
    /// Both ends of a walk
    pub levels: [Level; 2 * DEPTH_MAX],
    /// Arguments of an execution
    pub args: CallArgs,
    /// Matched entry ranges
    pub ranges: [Range; RANGES_MAX],
    /// One component, or one piece of an argument
    pub name: [u64; NAME_WORDS],
}

const _: () = assert!(size_of::<TaskState>().is_multiple_of(8));
const _: () = assert!(size_of::<Scratch>().is_multiple_of(8));
const _: () = assert!(size_of::<Answered>() == 48);
const _: () = assert!(size_of::<Program>() == 16);
const _: () = assert!(size_of::<Lineage>() == 8 * LINEAGE_WORDS);
const _: () = assert!(size_of::<Level>() == 24);

/// Identity of the object that the agent's labelling thread just opened.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `inode.i_ino`
    pub ino: u64,
    /// `super_block.s_dev`
    pub dev: u32,
    /// `inode.i_generation`
    pub igen: u32,
    /// Thread that is about to open, written by the agent
    pub tid: u32,
    /// Reports since the agent wrote zero here
    pub count: u32,
}
