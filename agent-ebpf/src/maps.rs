//! Every map of the object. The agent pins all of them by name; their shapes are the contract.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf},
    helpers::generated::bpf_task_storage_get,
    macros::btf_map,
};
use stayhand_agent_ebpf::abi::{
    code::counter,
    fact::{ANSWERS_MAX, Answer, FactKey, Question},
    hold::{AnswerEntry, HOLDS_MAX, HoldEntry, HoldKey},
    image::{
        ACTIVE_ENTRIES, ARG_PATTERNS_MAX, ARG_STEPS_PER_SLOT, ArgKey, ArgStep, EDGES_MAX,
        ENTRIES_PER_SLOT, EdgeKey, Entry, LABELS_MAX, LEASES_MAX, Label, LabelBits, LabelKey,
        LeaseKey, LeaseRow, NAMES_MAX, NODES_PER_SLOT, Node, Range, SUBJECTS_MAX, Settings,
        Subject, SubjectKey,
    },
    loaded::Loaded,
    net::{NETS_MAX, NetBits, NetKey},
    place::{PLACES_MAX, Place},
    rate::{BUCKETS_MAX, Bucket, BucketKey, RATES_PER_SLOT, Rate},
    record::Record,
    schedule::{SCHEDULES_PER_SLOT, Schedule},
    task::{Identity, Scratch, TaskState},
};

use crate::offsets::{Addr, OFF_TASK_STORAGE, load};

/// `BPF_F_NO_PREALLOC`: memory on demand for maps that only the agent writes.
const ON_DEMAND: usize = 1;
/// Ring bytes: A about 220 records, B and C about as many; each is drained within milliseconds.
const RING_BYTES: usize = 512 * 1024;
/// Ring bytes of questions about facts, about 110: whoever finds no room asks again until his time is over.
const QUESTION_BYTES: usize = 2 * 1024 * 1024;

#[btf_map]
pub static ACTIVE: Array<u64, { ACTIVE_ENTRIES as usize }> = Array::new();
#[btf_map]
pub static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
pub static LABELS: HashMap<LabelKey, Label, { LABELS_MAX as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub static LABEL_BITS: Array<LabelBits, 2> = Array::new();
#[btf_map]
pub static PLACES: Array<Place, { PLACES_MAX as usize }> = Array::new();
#[btf_map]
pub static EDGES: HashMap<EdgeKey, u32, { EDGES_MAX as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub static NODES: Array<Node, { 2 * NODES_PER_SLOT as usize }> = Array::new();
#[btf_map]
pub static ENTRIES: Array<Entry, { 2 * ENTRIES_PER_SLOT as usize }> = Array::new();
#[btf_map]
pub static SUBJECTS: HashMap<SubjectKey, Subject, { SUBJECTS_MAX as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub static LEASES: HashMap<LeaseKey, LeaseRow, { LEASES_MAX as usize }, ON_DEMAND> = HashMap::new();
#[btf_map]
pub static NETS: LpmTrie<NetKey, Range, { NETS_MAX as usize }> = LpmTrie::new();
#[btf_map]
pub static UNRULED_NETS: Array<NetBits, 1> = Array::new();
#[btf_map]
pub static NAMES: LpmTrie<ArgKey, Range, { NAMES_MAX as usize }> = LpmTrie::new();
#[btf_map]
pub static ARGS: LpmTrie<ArgKey, u32, { ARG_PATTERNS_MAX as usize }> = LpmTrie::new();
#[btf_map]
pub static ARG_STEPS: Array<ArgStep, { 2 * ARG_STEPS_PER_SLOT as usize }> = Array::new();
#[btf_map]
pub static SCHEDULES: Array<Schedule, { 2 * SCHEDULES_PER_SLOT as usize }> = Array::new();
#[btf_map]
pub static RATES: Array<Rate, { 2 * RATES_PER_SLOT as usize }> = Array::new();
#[btf_map]
pub static BUCKETS: HashMap<BucketKey, Bucket, { BUCKETS_MAX as usize }, ON_DEMAND> =
    HashMap::new();
#[btf_map]
pub static HOLDS: HashMap<HoldKey, HoldEntry, { HOLDS_MAX as usize }> = HashMap::new();
#[btf_map]
pub static ANSWERS: HashMap<HoldKey, AnswerEntry, { HOLDS_MAX as usize }> = HashMap::new();
#[btf_map]
pub static HOLD_COUNTS: HashMap<u32, u32, { HOLDS_MAX as usize }> = HashMap::new();
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { counter::COUNT as usize }> = PerCpuArray::new();
#[btf_map]
pub static RING_A: RingBuf<Record, RING_BYTES> = RingBuf::new();
#[btf_map]
pub static RING_B: RingBuf<Record, RING_BYTES> = RingBuf::new();
#[btf_map]
pub static RING_C: RingBuf<Record, RING_BYTES> = RingBuf::new();
#[btf_map]
pub static QUESTIONS: RingBuf<Question, QUESTION_BYTES> = RingBuf::new();
#[btf_map]
pub static FACT_ANSWERS: LruHashMap<FactKey, Answer, { ANSWERS_MAX as usize }> = LruHashMap::new();
#[btf_map]
pub static IDENTITY: Array<Identity, 1> = Array::new();
#[btf_map]
pub static LOADED: Array<Loaded, 1> = Array::new();

/// `BPF_MAP_TYPE_TASK_STORAGE` (linux/bpf.h); aya has no wrapper for it.
const TASK_STORAGE: usize = 29;
/// `BPF_LOCAL_STORAGE_GET_F_CREATE` (linux/bpf.h).
const CREATE: u64 = 1;

/// BTF definition of a task storage map, in the flat shape that loaders read.
#[repr(C)]
pub struct TaskStorage<T> {
    r#type: *const [i32; TASK_STORAGE],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; ON_DEMAND],
}

// SAFETY: only a definition; the program uses its address, the kernel owns the data.
unsafe impl<T> Sync for TaskStorage<T> {}

#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
pub static TASKS: TaskStorage<TaskState> = TaskStorage {
    r#type: core::ptr::null(),
    key: core::ptr::null(),
    value: core::ptr::null(),
    max_entries: core::ptr::null(),
    map_flags: core::ptr::null(),
};

#[unsafe(link_section = ".maps")]
#[unsafe(no_mangle)]
pub static SCRATCH: TaskStorage<Scratch> = TaskStorage {
    r#type: core::ptr::null(),
    key: core::ptr::null(),
    value: core::ptr::null(),
    max_entries: core::ptr::null(),
    map_flags: core::ptr::null(),
};

/// State of `task`, null if it has none.
///
/// Most tasks of a host have no storage of anybody: of these a load tells what the helper would, which begins with the
/// same load (kernel/bpf/bpf_task_storage.c, `task_storage_lookup`). Null there is never a pinned task: the kernel
/// publishes the storage, with the state in it, before the call that makes the state returns (`bpf_local_storage_alloc`,
/// by compare and exchange); a child's is made before the child runs; and it is taken away with its last state only.
///
/// # Safety
/// `task` must be a typed task pointer.
#[inline(always)]
pub unsafe fn task_state(task: Addr) -> *mut TaskState {
    // SAFETY: typed by contract.
    if unsafe { !has_storage(task) } {
        return core::ptr::null_mut();
    }
    storage(&TASKS, task, 0)
}

/// Whether a task has storage of anybody's.
///
/// # Safety
/// As for [`task_state`].
#[inline(always)]
pub unsafe fn has_storage(task: Addr) -> bool {
    // SAFETY: typed by contract.
    unsafe { load::<u64>(task, &OFF_TASK_STORAGE) != 0 }
}

/// State of `task`, made and zeroed if need be; null if that failed.
#[inline(always)]
pub fn task_state_or_new(task: Addr) -> *mut TaskState {
    storage(&TASKS, task, CREATE)
}

/// What `task` is judged with, null if it never was.
#[inline(always)]
pub fn task_scratch(task: Addr) -> *mut Scratch {
    storage(&SCRATCH, task, 0)
}

/// What `task` is judged with, made and zeroed if need be; null if that failed.
#[inline(always)]
pub fn task_scratch_or_new(task: Addr) -> *mut Scratch {
    storage(&SCRATCH, task, CREATE)
}

#[inline(always)]
fn storage<T>(map: &'static TaskStorage<T>, task: Addr, flags: u64) -> *mut T {
    let map = (&raw const *map).cast_mut().cast::<c_void>();
    // SAFETY: `task` is a task pointer typed by the verifier; the helper returns null or a whole value that
    // lives as long as the task, which is the current one or one under construction in our hands.
    unsafe {
        bpf_task_storage_get(map, task.cast_mut().cast(), core::ptr::null_mut(), flags).cast()
    }
}

/// What the agent set, if it did.
#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    // SAFETY: null or a live map value, which is written before the first hook is attached.
    unsafe { settings_or_null().as_ref() }
}

/// Types of functions are told to the kernel, which does not take an `Option`.
#[inline(never)]
fn settings_or_null() -> *const Settings {
    SETTINGS.get_ptr(0).unwrap_or(core::ptr::null())
}

/// Adds one to a counter. Atomic although per CPU: another task may preempt us between load and store.
/// A function of its own, as everything that looks up a map where nobody is in a hurry: for each call of a helper
/// that it writes out, the verifier copies all it knows of the whole program.
#[inline(never)]
pub fn count(index: u32) {
    if let Some(value) = COUNTERS.get_ptr_mut(index) {
        add(value, 1);
    }
}

/// Adds to a number in a map value.
#[inline(always)]
pub fn add(value: *mut u64, amount: u64) {
    // SAFETY: `value` is a live, aligned map value.
    unsafe {
        core::intrinsics::atomic_xadd::<u64, u64, { core::intrinsics::AtomicOrdering::Relaxed }>(
            value, amount,
        );
    }
}

/// Replaces a number in a map value if it is still `old`; whether it was.
#[inline(always)]
pub fn exchange(value: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: `value` is a live, aligned map value.
    unsafe {
        core::intrinsics::atomic_cxchg::<
            u64,
            { core::intrinsics::AtomicOrdering::SeqCst },
            { core::intrinsics::AtomicOrdering::SeqCst },
        >(value, old, new)
        .1
    }
}

/// Adds to a 32-bit number in a map value; `u32::MAX` takes one away.
#[inline(always)]
pub fn add32(value: *mut u32, amount: u32) {
    // SAFETY: `value` is a live, aligned map value.
    unsafe {
        core::intrinsics::atomic_xadd::<u32, u32, { core::intrinsics::AtomicOrdering::Relaxed }>(
            value, amount,
        );
    }
}
