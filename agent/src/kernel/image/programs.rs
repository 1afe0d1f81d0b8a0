//! Conditions on programs, for the objects that are there now: a step names a node of the image, the kernel compares the
//! nodes of labels.
//!
//! Pure.

use std::collections::BTreeSet;

use stayhand_agent_ebpf::abi::image::{ArgStep, Entry, step_flag};
use stayhand_guardrail::image::Image;

use super::{graph::Graph, resolve::Resolved};

/// The image's steps with each one on a program as alternatives: one for every node by which the program's file may be
/// labelled, and one that only may be met if it has no label to be told by. Entries go along.
pub fn steps(
    image: &Image,
    graph: &Graph,
    resolved: &Resolved,
    number: &dyn Fn(u32) -> u32,
    entries: &mut [Entry],
) -> Vec<ArgStep> {
    let mut made: Vec<ArgStep> = Vec::new();
    // Where each of the image's steps is now, and the end of them.
    let mut places: Vec<u32> = Vec::new();
    let end = |made: &[ArgStep]| u32::try_from(made.len()).unwrap_or(u32::MAX);
    for (index, step) in image.arguments.steps.iter().enumerate() {
        places.push(end(&made));
        if index == 0 || step.flags & step_flag::LINEAGE == 0 {
            made.push(*step);
            continue;
        }
        let mut nodes = alternatives(step.prefix_first, graph, resolved, number);
        let last = nodes.pop();
        let alternative = |(node, place), flags| ArgStep {
            prefix_first: node,
            place,
            flags,
            ..*step
        };
        let open = step.flags & !step_flag::CLAUSE_ENDS;
        made.extend(nodes.into_iter().map(|node| alternative(node, open)));
        made.extend(last.map(|node| alternative(node, step.flags)));
    }
    places.push(end(&made));
    let place = |index: u32| places.get(index as usize).copied();
    for entry in entries.iter_mut().filter(|entry| entry.args_len != 0) {
        let after = entry.args_first.saturating_add(entry.args_len);
        // Without its steps an entry cannot be judged, which restricts.
        if let (Some(first), Some(after)) = (place(entry.args_first), place(after)) {
            (entry.args_first, entry.args_len) = (first, after.saturating_sub(first));
        }
    }
    made
}

/// Nodes of a program's file, each with whether it only may be the one that is meant; never none.
fn alternatives(
    node: u32,
    graph: &Graph,
    resolved: &Resolved,
    number: &dyn Fn(u32) -> u32,
) -> Vec<(u32, u16)> {
    let doubt = u16::from(!graph.is_only_name(node));
    let mut found = vec![(number(node), doubt)];
    // What was found here and elsewhere, too: as such it restricts, and gives no permission.
    found.extend(graph.combined_with(node).map(|node| (number(node), 1)));
    if resolved.untold.contains(&node) {
        found.push((0, 0));
    }
    found
}

/// Programs of conditions that cannot be told from others, because their files have no label.
pub fn untold(image: &Image, resolved: &Resolved) -> BTreeSet<u32> {
    let steps = image.arguments.steps.iter().skip(1);
    let named = steps.filter(|step| step.flags & step_flag::LINEAGE != 0);
    named
        .map(|step| step.prefix_first)
        .filter(|node| resolved.untold.contains(node))
        .collect()
}
