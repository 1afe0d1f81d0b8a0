//! Tests of decoding: zeroed, cut, hostile and ordinary records.
#![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

use stayhand_agent_ebpf::abi::code::{class, op, reason, verdict};

use super::*;

const SIZE: usize = size_of::<Record>();

macro_rules! set {
    ($bytes:ident, $field:ident, $value:expr) => {
        let at = std::mem::offset_of!(Record, $field);
        let value = $value.to_ne_bytes();
        $bytes[at..at + value.len()].copy_from_slice(&value);
    };
}

fn write(bytes: &mut [u8], at: usize, data: &[u8]) {
    bytes[at..at + data.len()].copy_from_slice(data);
}

fn sample() -> Vec<u8> {
    let mut bytes = vec![0u8; SIZE];
    set!(bytes, version, ABI_VERSION);
    set!(bytes, class, class::B);
    set!(bytes, len, SIZE as u32);
    set!(bytes, generation, 9u64);
    set!(bytes, rule, 77u64);
    set!(bytes, hook, hook::EXEC);
    set!(bytes, op, op::EXEC);
    set!(bytes, verdict, verdict::DENIED);
    set!(bytes, reason, reason::RULE_DENY);
    set!(bytes, auid, 1001u32);
    set!(bytes, session, UNSET);
    strings_into(&mut bytes, b"nc\0bin\0usr\0", 3, b"nc\0-h\0\0");
    write(
        &mut bytes,
        std::mem::offset_of!(Record, comm),
        b"bash\0junk",
    );
    write(&mut bytes, std::mem::offset_of!(Record, tty), b"pts12\0");
    bytes
}

fn strings_into(bytes: &mut [u8], path: &[u8], components: u32, args: &[u8]) {
    set!(bytes, path_components, components);
    set!(bytes, path_len, path.len() as u32);
    set!(bytes, args_len, args.len() as u32);
    write(bytes, std::mem::offset_of!(Record, path), path);
    write(bytes, std::mem::offset_of!(Record, args), args);
}

#[test]
fn zeroed_bytes_are_no_record() {
    assert_eq!(
        RawRecord::decode(&vec![0; SIZE]),
        Err(Malformed::Version(0))
    );
}

#[test]
fn every_other_length_is_refused() {
    let bytes = sample();
    for len in [0, 1, 8, SIZE / 2, SIZE - 1] {
        assert_eq!(
            RawRecord::decode(&bytes[..len]),
            Err(Malformed::Length(len))
        );
    }
    let longer = [&bytes[..], &[0; 8]].concat();
    assert_eq!(RawRecord::decode(&longer), Err(Malformed::Length(SIZE + 8)));
    let mut lying = bytes;
    set!(lying, len, 8u32);
    assert_eq!(RawRecord::decode(&lying), Err(Malformed::Length(8)));
}

#[test]
fn lengths_that_leave_their_place_are_refused() {
    for (len, components) in [
        (PATH_BYTES as u32 + 1, 3u32),
        (u32::MAX, 3),
        (11, 2),
        (11, 4),
        (10, 3),
        (0, 1),
    ] {
        let mut bytes = sample();
        set!(bytes, path_len, len);
        set!(bytes, path_components, components);
        assert_eq!(
            RawRecord::decode(&bytes),
            Err(Malformed::Strings("path")),
            "{len} {components}"
        );
    }
    let mut bytes = sample();
    set!(bytes, args_len, ARGS_BYTES as u32 + 1);
    assert_eq!(
        RawRecord::decode(&bytes),
        Err(Malformed::Strings("arguments"))
    );
}

#[test]
fn names_that_no_file_can_have_are_refused() {
    for path in [&b"a/b\0"[..], b"\0"] {
        let mut bytes = sample();
        strings_into(&mut bytes, path, 1, b"");
        assert_eq!(RawRecord::decode(&bytes), Err(Malformed::Strings("path")));
    }
}

#[test]
fn unknown_numbers_become_the_strict_word() {
    let mut bytes = sample();
    set!(bytes, verdict, 1u32);
    set!(bytes, reason, 0xffff_u32);
    let record = RawRecord::decode(&bytes).unwrap();
    assert_eq!(
        (record.verdict, record.reason),
        (Verdict::Denied, Reason::Unknown)
    );
    set!(bytes, class, 3u16);
    assert_eq!(RawRecord::decode(&bytes), Err(Malformed::Class(3)));
}

#[test]
fn no_bytes_panic() {
    // A fixed walk over every position and a few values, printed on failure by the index.
    let whole = sample();
    for position in 0..SIZE {
        for value in [0x00, 0x01, 0x2f, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[position] = value;
            if let Ok(record) = RawRecord::decode(&bytes) {
                drop(record.object(&Mounts::default()));
            }
        }
    }
}

#[test]
fn an_ordinary_record_is_read_whole() {
    let record = RawRecord::decode(&sample()).unwrap();
    assert_eq!(
        record.object(&Mounts::default()),
        Some(Object::Path {
            bytes: b"/usr/bin/nc".to_vec()
        })
    );
    assert_eq!(record.args, [b"nc".to_vec(), b"-h".to_vec(), b"".to_vec()]);
    assert_eq!(
        (record.comm.as_slice(), record.tty.as_deref()),
        (&b"bash"[..], Some(&b"pts/12"[..]))
    );
    assert_eq!(
        (record.session, record.auid, record.hold, record.grant),
        (None, 1001, None, None)
    );
    assert_eq!(
        (record.operation, record.verdict),
        (Some(Operation::Exec), Verdict::Denied)
    );
}

#[test]
fn hostile_names_stay_bytes() {
    let mut bytes = sample();
    strings_into(&mut bytes, b"\x1b[2J\n\xff\0tmp\0", 2, b"\xfe\n\0cut");
    set!(
        bytes,
        flags,
        record_flag::ARGS_CUT | record_flag::STOPPED_WITHOUT_HOLD
    );
    let record = RawRecord::decode(&bytes).unwrap();
    assert_eq!(record.path, [b"tmp".to_vec(), b"\x1b[2J\n\xff".to_vec()]);
    assert_eq!(record.args, [b"\xfe\n".to_vec(), b"cut".to_vec()]);
    assert!(record.args_cut && record.stopped_without_hold && !record.monitor);
    let shown = record.object(&Mounts::default()).unwrap().to_string();
    assert!(
        shown.chars().all(|character| !character.is_control()),
        "{shown}"
    );
}

#[test]
fn destinations_are_canonical_and_only_of_connections() {
    let mut bytes = sample();
    set!(bytes, hook, hook::SOCKET_CONNECT);
    set!(bytes, op, op::CONNECT);
    set!(bytes, dest_port, 5432u16);
    set!(bytes, protocol, 6u16);
    let at = std::mem::offset_of!(Record, dest_addr);
    write(
        &mut bytes,
        at,
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 20, 0, 7],
    );
    let record = RawRecord::decode(&bytes).unwrap();
    let object = record.object(&Mounts::default()).unwrap();
    assert_eq!(object.to_string(), "10.20.0.7:5432");
    set!(bytes, protocol, 132u16);
    let record = RawRecord::decode(&bytes).unwrap();
    let object = record.object(&Mounts::default()).unwrap();
    assert_eq!(object.to_string(), "10.20.0.7:5432 (sctp)");
    set!(bytes, protocol, u16::MAX);
    let unknown = RawRecord::decode(&bytes).unwrap().destination;
    assert!(matches!(
        unknown,
        Some(Object::Address { protocol: None, .. })
    ));
    set!(bytes, family, 40u16);
    write(&mut bytes, at, &[0, 0, 0, 2, 0, 0, 4, 0]);
    let record = RawRecord::decode(&bytes).unwrap();
    let object = record.object(&Mounts::default()).unwrap();
    assert_eq!(object.to_string(), "vsock:2:1024");
    set!(bytes, hook, hook::FILE_OPEN);
    assert_eq!(RawRecord::decode(&bytes).unwrap().destination, None);
}

#[test]
fn a_name_without_a_file_is_shown_whole_and_safely() {
    let mut bytes = sample();
    set!(bytes, hook, hook::UNIX);
    set!(bytes, op, op::CONNECT);
    set!(bytes, flags, record_flag::ABSTRACT);
    strings_into(&mut bytes, b"a\0/\x1b[2J", 0, b"");
    let record = RawRecord::decode(&bytes).unwrap();
    let object = record.object(&Mounts::default()).unwrap();
    assert!(matches!(&object, Object::Name { bytes } if bytes == b"a\0/\x1b[2J"));
    assert!(object.to_string().starts_with('@') && !object.to_string().contains('\x1b'));
    set!(bytes, path_len, 2_000u32);
    assert!(RawRecord::decode(&bytes).is_err());
}

#[test]
fn a_capability_has_no_object() {
    let mut bytes = sample();
    set!(bytes, hook, hook::CAPABLE);
    set!(bytes, op, 0u32);
    strings_into(&mut bytes, b"", 0, b"");
    let record = RawRecord::decode(&bytes).unwrap();
    assert_eq!(
        (record.operation, record.object(&Mounts::default())),
        (None, None)
    );
}

fn of_the_system(operation: u32, number: u64) -> Vec<u8> {
    let mut bytes = sample();
    set!(bytes, hook, hook::SYSTEM);
    set!(bytes, op, operation);
    strings_into(&mut bytes, b"", 0, b"");
    write(
        &mut bytes,
        std::mem::offset_of!(Record, dest_addr),
        b"sshd\0",
    );
    let object = std::mem::offset_of!(Record, object);
    write(
        &mut bytes,
        object + std::mem::offset_of!(LabelKey, ino),
        &number.to_ne_bytes(),
    );
    write(
        &mut bytes,
        object + std::mem::offset_of!(LabelKey, dev),
        &812u32.to_ne_bytes(),
    );
    bytes
}

#[test]
fn what_is_asked_of_the_kernel_is_said_in_words() {
    let said = |operation, number| {
        let record = RawRecord::decode(&of_the_system(operation, number)).unwrap();
        assert!(!record.path_cut);
        record.object(&Mounts::default()).unwrap().to_string()
    };
    assert_eq!(said(op::SIGNAL, 9), "9 to sshd (pid 812)");
    assert_eq!(said(op::PTRACE, 2), "sshd (pid 812)");
    assert_eq!(said(op::PTRACE, u64::MAX), "sshd (pid 812)");
    assert_eq!(said(op::BPF, 5), "command 5");
    assert_eq!(said(op::REBOOT, 0), "");
    assert_eq!(
        said(op::MODULE, stayhand_agent_ebpf::abi::code::request::UNLOAD),
        "unload"
    );
}

#[test]
fn a_file_that_the_kernel_takes_in_has_its_name_and_no_more() {
    let mut bytes = of_the_system(op::MODULE, 77);
    strings_into(&mut bytes, b"evil.ko\0", 1, b"");
    let record = RawRecord::decode(&bytes).unwrap();
    assert!(record.path_cut, "the directories are missing");
    let shown = record.object(&Mounts::default()).unwrap().to_string();
    assert_eq!(shown, "/evil.ko");
}
