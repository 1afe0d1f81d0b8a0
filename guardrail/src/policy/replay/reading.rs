//! Which attempts one recorded decision can have been.
//!
//! An event is named after one operation of a call. A reading is a set of operations at each end that has that name.

use super::Why;
use crate::{
    action::{Object, Operation},
    event::Decided,
    policy::Protocol,
};

/// Operations and object at each end.
pub(super) type Reading = Vec<(u32, Object)>;

/// All readings, the plainest first.
pub(super) fn readings(decision: &Decided) -> Result<Vec<Reading>, Why> {
    if decision.object_cut {
        return Err(Why::ObjectCut);
    }
    if let Object::Ends { from, to } = &decision.object {
        let [from, to] = [absolute(from)?, absolute(to)?];
        return Ok(with_two_ends(decision.operation, &from, &to));
    }
    if let Object::Path { bytes } = &decision.object {
        absolute(bytes)?;
    }
    let each = sets(decision.operation, &decision.object).into_iter();
    let reading = |operations: &[Operation]| vec![(bits(operations), decision.object.clone())];
    Ok(each.map(|set| reading(&set)).collect())
}

/// What has no path (memory, an object whose mount is not known) has another text in its place.
fn absolute(path: &[u8]) -> Result<Object, Why> {
    if path.starts_with(b"/") {
        let bytes = path.to_vec();
        Ok(Object::Path { bytes })
    } else {
        Err(Why::Pathless)
    }
}

fn bits(operations: &[Operation]) -> u32 {
    operations.iter().fold(0, |all, one| all | one.bit())
}

fn with_two_ends(operation: Operation, from: &Object, to: &Object) -> Vec<Reading> {
    let ends = |[here, there]: [Vec<Operation>; 2]| {
        vec![(bits(&there), to.clone()), (bits(&here), from.clone())]
    };
    at_two_ends(operation).into_iter().map(ends).collect()
}

/// Operations here and there: something may have been replaced.
pub(in crate::policy) fn at_two_ends(operation: Operation) -> Vec<[Vec<Operation>; 2]> {
    use Operation::{Create, Delete, Rename, Write};
    match operation {
        Rename => vec![
            [vec![Rename, Delete], vec![Rename, Create]],
            [vec![Rename, Delete], vec![Rename, Create, Write, Delete]],
        ],
        other => vec![[vec![other], vec![other, Create]]],
    }
}

/// An open for writing may read, too; a creation may be that of a directory or come with an open; one socket can have many
/// connections. A device node, whose creation is `mount` as well, is taken for a file.
pub(in crate::policy) fn sets(operation: Operation, object: &Object) -> Vec<Vec<Operation>> {
    use Operation::{Connect, Create, Read, Send, Write};
    match (operation, object) {
        (Write, _) => vec![vec![Write], vec![Write, Read]],
        (Create, _) => vec![vec![Create, Write], vec![Create], vec![Create, Write, Read]],
        (Connect, Object::Address { protocol, .. })
            if ![Some(Protocol::TCP.0), Some(Protocol::UDP.0)].contains(protocol) =>
        {
            vec![vec![Connect], vec![Connect, Send]]
        }
        (other, _) => vec![vec![other]],
    }
}
