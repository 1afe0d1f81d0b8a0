//! Connections and datagrams to unix sockets, judged by the socket at the other end: its file, walked like any other, or
//! its name where it has no file. What the caller wrote as a path does not matter: links, mounts and namespaces led to
//! the socket already. Descriptors that were inherited, sent, or made as a pair are never asked about.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::lpm_trie::Key,
    helpers::generated::{bpf_probe_read_kernel, bpf_skc_to_unix_sock},
    macros::lsm,
    programs::LsmContext,
};
use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    image::{
        ACTIVE_SLOT_MASK, ARG_PATTERN_BYTES, ARG_SPACE_BITS, ArgKey, NAME_BYTES, NAME_LEN_AT,
        Range, arg_space,
    },
    task::{Scratch, TaskState},
};

use crate::{
    hold::EPERM,
    hooks::{address::finish, judged_if_ruled, slot},
    judge::{Begun, Named, begin_at, concerned, stale},
    maps::NAMES,
    offsets::{
        Addr, OFF_DENTRY_INODE, OFF_SOCKET_SK, OFF_UNIX_ADDRESS, OFF_UNIX_ADDRESS_LEN,
        OFF_UNIX_ADDRESS_NAME, OFF_UNIX_DENTRY, OFF_UNIX_PEER, load,
    },
    walk::{bounded, collect, identity, name_hash, same},
    who::scratch_of,
};

/// include/linux/socket.h
const AF_UNIX: u16 = 1;
/// Bytes of a `struct sockaddr_un` before a name that no file has: family and NUL.
const BEFORE_NAME: u32 = 3;

/// A name in kernel memory.
#[derive(Clone, Copy)]
pub struct Name {
    pointer: u64,
    len: u32,
}

/// `unix_stream_connect(struct sock *sock, struct sock *other, struct sock *newsk)`: before anything is queued at the
/// other end. Streams and sequenced packets.
#[lsm(hook = "unix_stream_connect")]
pub fn unix_stream_connect(ctx: LsmContext) -> i32 {
    judged_if_ruled(&ctx, "unix_stream_connect", op::CONNECT, |state, task| {
        // SAFETY: typed hook argument; the state is live.
        unsafe { reach(state, task, ctx.arg(1), op::CONNECT) }
    })
}

/// `unix_may_send(struct socket *sock, struct socket *other)`: connecting a datagram socket, and every datagram. Those to
/// the socket that it is connected to were judged when it was.
#[lsm(hook = "unix_may_send")]
pub fn unix_may_send(ctx: LsmContext) -> i32 {
    judged_if_ruled(
        &ctx,
        "unix_may_send",
        op::CONNECT | op::SEND,
        |state, task| {
            let (from, to): (Addr, Addr) = (ctx.arg(0), ctx.arg(1));
            // SAFETY: typed hook arguments; loaded pointers are looked at before they are used; the state is live.
            unsafe {
                let (own, other): (Addr, Addr) =
                    (load(from, &OFF_SOCKET_SK), load(to, &OFF_SOCKET_SK));
                if own.is_null() || other.is_null() {
                    return EPERM; // neither can be: both are locked
                }
                let own = bpf_skc_to_unix_sock(own.cast_mut().cast()) as Addr;
                if !own.is_null() && same(&raw mut (*state).here, load(own, &OFF_UNIX_PEER), other)
                {
                    return 0;
                }
                // `socket_connect` or `socket_sendmsg` came before, unless the kernel itself sends. Through memory, where
                // the verifier knows none of them and goes on once.
                let said = &raw mut (*state).datagram_ops;
                if core::ptr::read_volatile(said) & (op::CONNECT | op::SEND) == 0 {
                    core::ptr::write_volatile(said, op::CONNECT | op::SEND);
                }
                let ops = core::ptr::read_volatile(said) & (op::CONNECT | op::SEND);
                reach(state, task, other, ops)
            }
        },
    )
}

/// Judges what reaches a socket.
#[inline(always)]
unsafe fn reach(state: *mut TaskState, task: Addr, other: Addr, ops: u32) -> i32 {
    // SAFETY: typed by contract; loaded pointers are looked at before they are used; the state is live.
    unsafe {
        let Some(named) = concerned(state, ops) else {
            return 0;
        };
        let other = bpf_skc_to_unix_sock(other.cast_mut().cast()) as Addr;
        if other.is_null() {
            return EPERM; // not a unix socket, at a hook of theirs
        }
        let dentry: Addr = load(other, &OFF_UNIX_DENTRY);
        let (scratch, met) = if dentry.is_null() {
            let address: Addr = load(other, &OFF_UNIX_ADDRESS);
            if address.is_null() {
                return 0; // nobody gave it a name that rules could have
            }
            let len = load::<u32>(address, &OFF_UNIX_ADDRESS_LEN).wrapping_sub(BEFORE_NAME);
            let pointer =
                address as u64 + u64::from(OFF_UNIX_ADDRESS_NAME.load()) + u64::from(BEFORE_NAME);
            let scratch = scratch_of(state);
            if scratch.is_null() {
                return EPERM;
            }
            let met = meets(scratch, &named, ops, Name { pointer, len });
            (scratch, met.then_some(named.subject))
        } else {
            let inode: Addr = load(dentry, &OFF_DENTRY_INODE);
            if inode.is_null() {
                return EPERM; // a bound socket's file has one, also without a name
            }
            // Of the image that it begins with, which may be a newer one.
            let Begun { scratch, subject } = match begin_at(state, hook::UNIX, ops, dentry, inode) {
                Ok(begun) => begun,
                Err(verdict) => return verdict,
            };
            (*scratch).current.object = identity(inode, slot(scratch));
            let walked = collect(scratch, dentry, inode);
            core::ptr::write_volatile(&raw mut (*scratch).current.walked, u32::from(walked));
            (scratch, Some(subject))
        };
        finish(scratch, task, met)
    }
}

/// The name in a `struct sockaddr` in kernel memory that is to be bound, if it is one that no file has. A name that the
/// kernel chooses is none.
///
/// # Safety
/// `scratch` must have room for a word.
#[inline(always)]
pub unsafe fn bound(scratch: *mut u32, address: u64, len: i32) -> Option<Name> {
    if len < BEFORE_NAME as i32 {
        return None;
    }
    // SAFETY: room by contract; the helper checks the address, and clears the word if it cannot be read.
    let first = unsafe {
        bpf_probe_read_kernel(scratch.cast(), BEFORE_NAME, address as *const c_void);
        core::ptr::read_volatile(scratch)
    };
    (first as u16 == AF_UNIX && first & 0xff_0000 == 0).then_some(Name {
        pointer: address.wrapping_add(u64::from(BEFORE_NAME)),
        len: len as u32 - BEFORE_NAME,
    })
}

/// Begins the attempt on a name with the range that it is in, if it is in one or that cannot be told. Whether it can be
/// is in `walked`.
///
/// # Safety
/// `scratch` must be live.
#[inline(always)]
pub unsafe fn meets(scratch: *mut Scratch, named: &Named, ops: u32, name: Name) -> bool {
    // SAFETY: live by contract; the key has the layout of the map's; the value is copied at once.
    unsafe {
        let slot = (named.active & ACTIVE_SLOT_MASK) as u32;
        let readable = key(scratch, slot, name);
        let key = (&raw const (*scratch).args.key).cast::<Key<ArgKey>>();
        let found: Option<Range> = NAMES.get(&*key).copied();
        if found.is_none() && readable && !stale(named.active) {
            return false;
        }
        named.begin(scratch, hook::UNIX, ops);
        if readable {
            (*scratch).current.name_len = name.len + 1;
        }
        match name_hash(scratch, name.pointer, name.len) {
            Some(hash) => (*scratch).current.name_hash = hash,
            None => (*scratch).current.unholdable = 1,
        }
        if let Some(range) = found {
            *(&raw mut (*scratch).ranges).cast::<Range>() = range;
            (*scratch).current.range_count = 1;
        }
        core::ptr::write_volatile(&raw mut (*scratch).current.walked, u32::from(readable));
    }
    true
}

const KEY_WORDS: usize = ARG_PATTERN_BYTES / 4;

/// Makes the key of a whole name: behind it zeroes, and its length at the end, because it may have a NUL anywhere. False
/// if it cannot be read or is longer than any.
#[inline(always)]
unsafe fn key(scratch: *mut Scratch, slot: u32, name: Name) -> bool {
    // SAFETY: the scratch is live by contract; the text has room for a name, whose length is masked below 128 and then
    // compared.
    unsafe {
        let key = &raw mut (*scratch).args.key;
        (*key).bits = ARG_SPACE_BITS + 8 * ARG_PATTERN_BYTES as u32;
        (*key).space_be = arg_space(slot, false).to_be();
        let text = (&raw mut (*key).text).cast::<u32>();
        for word in 0..KEY_WORDS {
            core::ptr::write_volatile(text.add(word), 0);
        }
        if name.len > NAME_BYTES as u32 {
            return false;
        }
        let len = bounded(name.len);
        if len > NAME_BYTES as u32 {
            return false;
        }
        let text = text.cast::<u8>();
        if len != 0 && bpf_probe_read_kernel(text.cast(), len, name.pointer as *const c_void) != 0 {
            return false;
        }
        core::ptr::write_volatile(text.add(NAME_LEN_AT), len as u8);
        true
    }
}
