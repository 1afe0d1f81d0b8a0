//! Arguments that somebody may not read: a note in their place, which no reader takes for a program without arguments.

use stayhand_guardrail::action::ProcessInfo;

/// What stands in the place of arguments. They count as cut as well, so that nothing is judged by it.
pub const WITHHELD: &str = "[withheld: needs arguments.read]";

/// Takes the arguments of a process away, and says so. A process of which none are known has none to withhold.
pub fn withhold(process: &mut ProcessInfo) {
    if process.args.is_empty() {
        return;
    }
    process.args = vec![WITHHELD.into()];
    process.args_cut = true;
}
