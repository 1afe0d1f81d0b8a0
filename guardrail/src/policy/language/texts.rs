//! The texts of the language, as far as a pattern can tell them.
//!
//! Every pattern lets through whatever the parser accepts: the schema never refuses a policy that is none of its business.

use super::{Kind, Text};
use crate::{
    id::{NAME_BYTES_MAX, USER_BYTES_MAX},
    limits::PATH_BYTES_MAX,
    policy::args::fact::REGEX_BYTES_MAX,
};

const fn text(
    kind: Kind,
    pattern: Option<&'static str>,
    examples: &'static [&'static str],
) -> Text {
    Text {
        kind,
        pattern,
        min: 0,
        max: None,
        examples,
    }
}

/// Whatever is not empty.
const fn some(kind: Kind, examples: &'static [&'static str]) -> Text {
    Text {
        min: 1,
        ..text(kind, None, examples)
    }
}

/// As a name is written that a policy gives to something of its own.
const NAME_PATTERN: &str = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$";

pub(in crate::policy) static NAME: Text = Text {
    max: Some(NAME_BYTES_MAX),
    ..text(Kind::Scalar, Some(NAME_PATTERN), &[])
};
pub(super) static PRESET: Text = text(
    Kind::Text,
    Some("^[a-z0-9-]+@[0-9]+$"),
    &["confined-root@1", "destructive-commands@1"],
);
/// What a parameter is, only its preset knows.
pub(super) static VALUE: Text = some(Kind::Scalar, &["10.20.0.0/16"]);
/// A value that whoever asks for a profile may choose.
pub(super) static WORD: Text = Text {
    max: Some(NAME_BYTES_MAX),
    ..text(
        Kind::Scalar,
        Some("^[A-Za-z0-9][A-Za-z0-9._@:+-]*$"),
        &["nginx", "postgres"],
    )
};
pub(super) static INTEGERS: Text = text(
    Kind::Number,
    Some(r"^\s*[0-9]+\s*(-\s*[0-9]+\s*)?$"),
    &["1024-2048"],
);
pub(super) static USER: Text = Text {
    max: Some(USER_BYTES_MAX),
    ..text(
        Kind::Scalar,
        Some(r"^[A-Za-z0-9_][A-Za-z0-9_.@+\\-]*\$?$"),
        &[],
    )
};
pub(super) static PATH: Text = Text {
    max: Some(PATH_BYTES_MAX),
    ..text(
        Kind::Text,
        // The parser knows that only a permission has parameters.
        Some(r"^((/[^/\x00-\x1f]+)+|\$\{[a-z0-9._-]+\}[^\x00-\x1f]*)$"),
        &["/usr/bin/nc", "/etc/nginx/**", "/var/log/app-*.log"],
    )
};
/// One object and no pattern: `\*` is a star.
pub(super) static ONE_PATH: Text = Text {
    max: Some(PATH_BYTES_MAX),
    ..text(Kind::Text, Some(r"^(/[^/\x00-\x1f]+)+$"), &["/usr/bin/nc"])
};
pub(super) static MESSAGE: Text = some(Kind::Scalar, &["use the bastion tunnel"]);
pub(super) static DURATION: Text = text(
    Kind::Text,
    Some(r"^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"),
    &["15s", "10m", "1h30m"],
);
pub(super) static CIDR: Text = text(
    Kind::Text,
    Some(r"^([0-9A-Fa-f:.]+(/[0-9]+)?|.*\$\{[a-z0-9._-]+\}.*)$"),
    &["10.20.0.0/16", "2001:db8::/32", "::/0"],
);
pub(super) static ADDRESS: Text = text(
    Kind::Text,
    Some(r"^[0-9A-Fa-f:.]+$"),
    &["10.20.0.1", "2001:db8::1"],
);
pub(super) static PORTS: Text = text(
    Kind::Number,
    Some(r"^(\s*[0-9]+\s*(-\s*[0-9]+\s*)?|\$\{[a-z0-9._-]+\})$"),
    &["443", "8000-8100"],
);
pub(super) static NUMBER: Text = text(Kind::Number, Some("^[0-9]+$"), &["5432"]);
pub(super) static MACHINE: Text = text(Kind::Number, Some("^([0-9]+|any)$"), &["2", "any"]);
pub(super) static PROTOCOL: Text = text(
    Kind::Number,
    Some("^([0-9]+|tcp|udp|icmp|icmpv6|sctp|udplite|dccp)$"),
    &["tcp", "udp"],
);
pub(super) static SOCKET_NAME: Text = text(Kind::Scalar, Some("^[^@]"), &["dbus-*"]);
pub(super) static ARGUMENT: Text = some(Kind::Scalar, &["delete", "run-*", "*.sql", "of=/dev/*1"]);
pub(super) static APPROVER: Text = text(
    Kind::Text,
    Some("^(manager|(user|group|on-call):.+)$"),
    &["group:senior-sre", "user:carol", "on-call:ops", "manager"],
);
/// What a program is called with: also nothing.
pub(super) static CALLED_WITH: Text = text(Kind::Anything, None, &["/usr/bin/nc", "-h"]);
pub(super) static SUBCOMMAND: Text = some(Kind::Scalar, &["scale", "rollout restart"]);
pub(super) static OPTION: Text = text(
    Kind::Scalar,
    Some("^-([A-Za-z0-9]|-[A-Za-z0-9._-]{1,40})$"),
    &["-r", "--recursive"],
);
pub(super) static REGEX: Text = Text {
    max: Some(REGEX_BYTES_MAX),
    ..some(Kind::Scalar, &[r"(?i)\bdrop\s+table\b"])
};
pub(super) static SHA256: Text = text(Kind::Text, Some("^[0-9a-fA-F]{64}$"), &[]);
pub(super) static WINDOW: Text = some(
    Kind::Text,
    &[
        "Mon-Fri 09:00-17:00 Europe/Berlin",
        "Fri 16:00 - Mon 08:00 Europe/Berlin",
        "daily 22:00-06:00 UTC",
        "2026-12-18 18:00 - 2027-01-04 06:00 Europe/Berlin",
        "2026-12-24 - 2026-12-26 UTC",
    ],
);
/// The same, or a name of the calendar.
pub(super) static WINDOW_OR_NAME: Text = Text {
    kind: Kind::Scalar,
    ..WINDOW
};
pub(super) static TIME: Text = text(
    Kind::Text,
    Some(r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}\s+[0-9]{2}:[0-9]{2}\s+[A-Za-z]\S*\s*$"),
    &["2026-11-27 18:00 Europe/Berlin"],
);
