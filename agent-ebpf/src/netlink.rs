//! Which netlink messages change something. Reads go on; whatever is not known to be a read changes something.
//!
//! Says nothing of who may send it: the kernel asks for its capabilities afterwards.

// Protocols of netlink sockets (include/uapi/linux/netlink.h).
const ROUTE: u16 = 0;
const USERSOCK: u16 = 2;
const SOCK_DIAG: u16 = 4;
const XFRM: u16 = 6;
const AUDIT: u16 = 9;
const FIB_LOOKUP: u16 = 10;
const NETFILTER: u16 = 12;
const GENERIC: u16 = 16;
const CRYPTO: u16 = 21;

/// `sizeof(struct nlmsghdr)`.
pub const HEADER_BYTES: u32 = 16;
/// `NLM_F_DUMP`: with all of its bits a generic family lists and does nothing else (net/netlink/genetlink.c).
const DUMP: u16 = 0x300;
/// `NLMSG_MIN_TYPE`: what is below is no request; the kernel passes it over.
const MIN_TYPE: u16 = 0x10;
/// `GENL_ID_CTRL`: asks for the numbers of families.
const CONTROLLER: u16 = 0x10;

/// Start of a message, `struct nlmsghdr`.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Its length with this
    pub len: u32,
    /// Its type
    pub kind: u16,
    /// Its flags
    pub flags: u16,
}

/// Whether what was sent to a socket of this protocol, `len` bytes that begin with `header`, changes something. More than
/// one message at once is not looked at: those who read send one.
#[inline(always)]
pub const fn changes(protocol: u16, header: Header, len: u32) -> bool {
    if matches!(protocol, USERSOCK | FIB_LOOKUP) {
        return false; // between processes, and look-ups
    }
    // The next one begins at a multiple of four.
    if header.len < HEADER_BYTES || header.len > len || (header.len.wrapping_add(3) & !3) < len {
        return true;
    }
    let kind = header.kind;
    match protocol {
        // Each object has four types in a row: new, delete, get, set.
        ROUTE => kind >= MIN_TYPE && kind & 3 != 2,
        SOCK_DIAG => !matches!(kind, 18..=20),
        XFRM => !matches!(kind, 0x12 | 0x15 | 0x1f | 0x23 | 0x25 | 0x28),
        AUDIT => !audit_reads(kind),
        NETFILTER => !netfilter_reads((kind >> 8) as u8, (kind & 0xff) as u8),
        CRYPTO => !matches!(kind, 0x13 | 0x15),
        GENERIC => kind != CONTROLLER && header.flags & DUMP != DUMP,
        _ => true,
    }
}

/// Status, rules, who sent a signal, terminal, features; and what login programs write into the audit log, which changes
/// nothing else (include/uapi/linux/audit.h).
const fn audit_reads(kind: u16) -> bool {
    matches!(kind, 1000 | 1005 | 1010 | 1013 | 1016 | 1019 | 1100..=1199 | 2100..=2999)
}

/// By subsystem (include/uapi/linux/netfilter/nfnetlink.h); a read that also sets a counter to zero changes it.
const fn netfilter_reads(subsystem: u8, message: u8) -> bool {
    let reads: u64 = match subsystem {
        1 => 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7, // connection tracking
        2 => 1 << 1 | 1 << 3,                            // expectations
        6 => 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15, // sets of addresses
        10 => 1 << 1 | 1 << 4 | 1 << 7 | 1 << 10 | 1 << 13 | 1 << 16 | 1 << 19 | 1 << 23, // tables
        11 => 1, // what older tools ask about extensions
        _ => 0,
    };
    message < 64 && reads >> message & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u16, flags: u16) -> Header {
        Header {
            len: 20,
            kind,
            flags,
        }
    }

    #[test]
    fn reads_go_on_and_everything_else_changes_something() {
        for (protocol, kind, changed) in [
            (ROUTE, 18, false), // RTM_GETLINK
            (ROUTE, 16, true),  // RTM_NEWLINK
            (ROUTE, 17, true),  // RTM_DELLINK
            (ROUTE, 19, true),  // RTM_SETLINK
            (ROUTE, 20, true),  // RTM_NEWADDR
            (ROUTE, 24, true),  // RTM_NEWROUTE
            (ROUTE, 26, false), // RTM_GETROUTE
            (ROUTE, 32, true),  // RTM_NEWRULE
            (ROUTE, 94, false), // RTM_GETSTATS
            (ROUTE, 95, true),  // RTM_SETSTATS
            (ROUTE, 3, false),  // NLMSG_DONE
            (SOCK_DIAG, 20, false),
            (SOCK_DIAG, 21, true), // SOCK_DESTROY
            (XFRM, 0x10, true),
            (XFRM, 0x12, false),
            (XFRM, 0x1c, true),
            (AUDIT, 1000, false),
            (AUDIT, 1001, true), // AUDIT_SET
            (AUDIT, 1011, true), // AUDIT_ADD_RULE
            (AUDIT, 1112, false),
            (AUDIT, 1020, true),
            (NETFILTER, 10 << 8, true),
            (NETFILTER, 10 << 8 | 0x1, false),
            (NETFILTER, 10 << 8 | 0x15, true), // a read that resets
            (NETFILTER, 1 << 8 | 0x3, true),
            (NETFILTER, 1 << 8 | 0x1, false),
            (NETFILTER, 6 << 8 | 0x2, true),
            (NETFILTER, 6 << 8 | 0x7, false),
            (NETFILTER, 3 << 8 | 0x1, true),
            (NETFILTER, 10 << 8 | 0xc8, true),
            (GENERIC, 0x10, false),
            (GENERIC, 0x15, true),
            (CRYPTO, 0x13, false),
            (CRYPTO, 0x10, true),
            (USERSOCK, 16, false),
            (15, 0, true), // an invented device event
            (31, 1, true),
        ] {
            assert_eq!(
                changes(protocol, header(kind, 0), 20),
                changed,
                "protocol {protocol} type {kind}"
            );
        }
    }

    #[test]
    fn only_a_whole_dump_of_a_generic_family_is_a_read() {
        assert!(!changes(GENERIC, header(0x15, 0x301), 20));
        for flags in [0x100, 0x200, 5] {
            assert!(changes(GENERIC, header(0x15, flags), 20), "{flags:#x}");
        }
        assert!(changes(ROUTE, header(16, 0x300), 20));
    }

    #[test]
    fn what_hides_behind_a_read_is_not_taken_for_one() {
        let read = header(18, 0);
        for (len, changed) in [(20, false), (21, true), (36, true), (19, true)] {
            assert_eq!(changes(ROUTE, read, len), changed, "{len}");
        }
        assert!(changes(ROUTE, Header { len: 8, ..read }, 40));
        let odd = Header { len: 17, ..read };
        assert!(!changes(ROUTE, odd, 20) && changes(ROUTE, odd, 24));
        let huge = Header {
            len: u32::MAX,
            ..read
        };
        assert!(changes(ROUTE, huge, 20));
    }
}
