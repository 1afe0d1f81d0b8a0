//! Makes login uids immutable on this boot, through the audit netlink socket: nobody, root included, clears or
//! changes a login uid that was set.
//!
//! A second line of defence: the pin decides, not the field. It cannot be undone before the next boot, and daemons
//! that are restarted from a login session then keep that login uid; so the configuration decides.

use std::{io, os::fd::AsRawFd as _};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt::ReceiveTimeout,
};

// include/uapi/linux/audit.h, include/uapi/linux/netlink.h
const AUDIT_SET_FEATURE: u16 = 1018;
const AUDIT_GET_FEATURE: u16 = 1019;
const LOGINUID_IMMUTABLE: u32 = 1 << 1;
const FEATURE_VERSION: u32 = 1;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const HEADER: usize = 16;
/// Messages that are read for one answer: audit may send its own in between.
const ANSWERS_MAX: usize = 16;
/// The kernel answers at once; anything else is a refusal.
const ANSWER_SECONDS: i64 = 2;

/// Why login uids are not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The socket cannot be used.
    #[error(
        "cannot talk to the kernel's audit system; the kernel needs CONFIG_AUDIT and the agent CAP_AUDIT_CONTROL"
    )]
    Socket(#[from] io::Error),
    /// The kernel refused.
    #[error(
        "the kernel refuses to make login uids immutable; see whether audit features were locked before"
    )]
    Refused(#[source] io::Error),
    /// The answer cannot be understood.
    #[error("the kernel's audit system gives no answer that can be understood")]
    NoAnswer,
}

/// What locking came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// It is locked now
    Now,
    /// It was locked before
    Before,
}

/// Makes login uids immutable until the next boot.
pub fn lock() -> Result<Locked, LockError> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkAudit,
    )
    .map_err(io::Error::from)?;
    let timeout = nix::sys::time::TimeVal::new(ANSWER_SECONDS, 0);
    setsockopt(&socket, ReceiveTimeout, &timeout).map_err(io::Error::from)?;
    let ask = |kind, flags, payload: &[u8], wanted| {
        let sent = send(
            socket.as_raw_fd(),
            &message(kind, flags, payload),
            MsgFlags::empty(),
        );
        sent.map_err(io::Error::from)?;
        answer(wanted, || {
            let mut bytes = vec![0; 8192];
            let len = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
            bytes.truncate(len);
            Ok(bytes)
        })
    };
    let before = ask(AUDIT_GET_FEATURE, NLM_F_REQUEST, &[], AUDIT_GET_FEATURE)?;
    if is_locked(&before) {
        return Ok(Locked::Before);
    }
    ask(
        AUDIT_SET_FEATURE,
        NLM_F_REQUEST | NLM_F_ACK,
        &features(),
        NLMSG_ERROR,
    )?;
    Ok(Locked::Now)
}

/// `struct audit_features`: version, mask, features, lock.
fn features() -> Vec<u8> {
    [
        FEATURE_VERSION,
        LOGINUID_IMMUTABLE,
        LOGINUID_IMMUTABLE,
        LOGINUID_IMMUTABLE,
    ]
    .map(u32::to_ne_bytes)
    .concat()
}

fn is_locked(payload: &[u8]) -> bool {
    let word = |at: usize| {
        payload
            .get(at..at + 4)
            .and_then(|word| word.try_into().ok())
            .map_or(0, u32::from_ne_bytes)
    };
    word(8) & word(12) & LOGINUID_IMMUTABLE != 0
}

/// `struct nlmsghdr` and payload.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(1u32.to_ne_bytes()); // sequence: one question at a time
    bytes.extend(0u32.to_ne_bytes()); // to the kernel
    bytes.extend(payload);
    bytes
}

/// Payload of the first message of the wanted kind; an error message with an error number is a refusal.
fn answer(
    wanted: u16,
    mut next: impl FnMut() -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, LockError> {
    for _ in 0..ANSWERS_MAX {
        let bytes = next()?;
        let kind = bytes
            .get(4..6)
            .and_then(|kind| kind.try_into().ok())
            .map(u16::from_ne_bytes);
        let (Some(kind), Some(payload)) = (kind, bytes.get(HEADER..)) else {
            return Err(LockError::NoAnswer);
        };
        if kind == NLMSG_ERROR {
            let code = payload
                .get(..4)
                .and_then(|code| code.try_into().ok())
                .map(i32::from_ne_bytes);
            match code.ok_or(LockError::NoAnswer)? {
                0 => {}
                code => {
                    return Err(LockError::Refused(io::Error::from_raw_os_error(
                        code.saturating_neg(),
                    )));
                }
            }
        }
        if kind == wanted {
            return Ok(payload.to_vec());
        }
    }
    Err(LockError::NoAnswer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(messages: Vec<Vec<u8>>) -> impl FnMut() -> io::Result<Vec<u8>> {
        let mut messages = messages.into_iter();
        move || {
            messages
                .next()
                .ok_or_else(|| io::ErrorKind::TimedOut.into())
        }
    }

    #[test]
    fn a_refusal_is_an_error_with_its_number() {
        let refusal = message(NLMSG_ERROR, 0, &(-libc::EPERM).to_ne_bytes());
        let error = answer(NLMSG_ERROR, from(vec![refusal])).unwrap_err();
        assert!(
            matches!(error, LockError::Refused(source) if source.raw_os_error() == Some(libc::EPERM))
        );
    }

    #[test]
    fn silence_and_damage_are_no_success() {
        assert!(answer(NLMSG_ERROR, from(vec![])).is_err());
        for len in 0..HEADER + 4 {
            let cut = message(NLMSG_ERROR, 0, &0i32.to_ne_bytes())[..len].to_vec();
            assert!(answer(NLMSG_ERROR, from(vec![cut])).is_err(), "{len}");
        }
        let chatter = vec![message(1300, 0, b"type=SYSCALL"); ANSWERS_MAX + 1];
        assert!(matches!(
            answer(NLMSG_ERROR, from(chatter)),
            Err(LockError::NoAnswer)
        ));
    }

    #[test]
    fn other_messages_in_between_are_passed_over() {
        let messages = vec![
            message(1300, 0, b"x"),
            message(NLMSG_ERROR, 0, &0i32.to_ne_bytes()),
        ];
        assert!(answer(NLMSG_ERROR, from(messages)).is_ok());
    }

    #[test]
    fn locked_means_set_and_locked() {
        let state =
            |features: u32, lock: u32| [1, u32::MAX, features, lock].map(u32::to_ne_bytes).concat();
        assert!(is_locked(&features()));
        assert!(
            !is_locked(&state(LOGINUID_IMMUTABLE, 0)) && !is_locked(&state(0, LOGINUID_IMMUTABLE))
        );
        assert!(!is_locked(b""));
    }
}
