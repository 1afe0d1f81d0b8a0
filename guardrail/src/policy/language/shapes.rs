//! What stands behind several keys.

use super::{
    Shape,
    actions::{OF_FILE, OF_NET, of_system},
    texts::{
        APPROVER, ARGUMENT, CALLED_WITH, CIDR, MACHINE, NAME, NUMBER, ONE_PATH, OPTION, PATH,
        PORTS, PRESET, PROTOCOL, REGEX, SHA256, SOCKET_NAME, SUBCOMMAND, USER, VALUE, WINDOW,
        WINDOW_OR_NAME,
    },
};
use crate::{
    action::Operation,
    limits::{LIST_MAX, WINDOWS_MAX},
};

pub(super) fn words(operations: &[Operation]) -> Vec<&'static str> {
    operations.iter().map(|one| one.as_str()).collect()
}

pub(super) const fn texts(of: &'static Shape) -> Shape {
    Shape::OneOrList {
        of,
        max: LIST_MAX,
        differ: true,
    }
}

pub(super) const fn list(of: &'static Shape) -> Shape {
    Shape::List {
        of,
        min: 1,
        max: LIST_MAX,
    }
}

pub(super) const fn windows() -> Shape {
    Shape::OneOrList {
        of: &A_WINDOW_OR_NAME,
        max: WINDOWS_MAX,
        differ: false,
    }
}

pub(super) static A_NAME: Shape = Shape::Text(&NAME);
pub(super) static A_PRESET: Shape = Shape::Text(&PRESET);
static A_VALUE: Shape = Shape::Text(&VALUE);
pub(super) static A_PLAIN_VALUE: Shape = Shape::Text(&VALUE);
pub(super) static PARAMETERS: Shape = texts(&A_VALUE);
pub(super) static LABEL_VALUES: Shape = texts(&A_NAME);
pub(super) static A_USER: Shape = Shape::Text(&USER);
pub(super) static AN_APPROVER: Shape = Shape::Text(&APPROVER);
pub(super) static A_PATH: Shape = Shape::Text(&PATH);
pub(super) static A_PLAIN_PATH: Shape = Shape::Text(&ONE_PATH);
pub(super) static A_CIDR: Shape = Shape::Text(&CIDR);
pub(super) static A_PORT: Shape = Shape::Text(&PORTS);
pub(super) static A_NUMBER: Shape = Shape::Text(&NUMBER);
pub(super) static A_MACHINE: Shape = Shape::Text(&MACHINE);
pub(super) static A_PROTOCOL: Shape = Shape::Text(&PROTOCOL);
pub(super) static A_SOCKET_NAME: Shape = Shape::Text(&SOCKET_NAME);
pub(super) static AN_ARGUMENT: Shape = Shape::Text(&ARGUMENT);
pub(super) static AN_ARGUMENT_OF_A_CALL: Shape = Shape::Text(&CALLED_WITH);
pub(super) static A_SUBCOMMAND: Shape = Shape::Text(&SUBCOMMAND);
pub(super) static AN_OPTION: Shape = Shape::Text(&OPTION);
pub(super) static A_REGEX: Shape = Shape::Text(&REGEX);
pub(super) static A_HASH: Shape = Shape::Text(&SHA256);
pub(super) static A_WINDOW: Shape = Shape::Text(&WINDOW);
pub(super) static ARGUMENTS: Shape = texts(&AN_ARGUMENT);
pub(super) static A_WINDOW_OR_NAME: Shape = Shape::Text(&WINDOW_OR_NAME);
pub(super) static WINDOWS: Shape = Shape::OneOrList {
    of: &A_WINDOW,
    max: WINDOWS_MAX,
    differ: false,
};
pub(super) static A_FILE_OPERATION: Shape = Shape::Word(|| words(&OF_FILE));
pub(super) static A_NET_OPERATION: Shape = Shape::Word(|| words(&OF_NET));
pub(super) static A_SYSTEM_OPERATION: Shape = Shape::Word(|| words(&of_system()));
