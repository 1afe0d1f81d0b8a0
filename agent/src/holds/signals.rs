//! Which pending signals end a hold: whoever sent them wants them to take effect now, not after an answer.
//!
//! Reads text only; never sends a signal.

/// As `kill -l` numbers them (include/uapi/asm-generic/signal.h).
const HUP: u32 = 1;
const INT: u32 = 2;
const QUIT: u32 = 3;
const ABRT: u32 = 6;
const KILL: u32 = 9;
const TERM: u32 = 15;
const CHLD: u32 = 17;
const CONT: u32 = 18;
const STOP: u32 = 19;
const TSTP: u32 = 20;
const TTIN: u32 = 21;
const TTOU: u32 = 22;
const URG: u32 = 23;
const WINCH: u32 = 28;

/// Somebody's wish to end it, even if the program has a handler that cleans up first.
const WISHES: u64 = bit(HUP) | bit(INT) | bit(QUIT) | bit(ABRT) | bit(KILL) | bit(TERM);
/// Never fatal by default: ignored, or about stopping and continuing.
const HARMLESS: u64 =
    bit(CHLD) | bit(CONT) | bit(STOP) | bit(TSTP) | bit(TTIN) | bit(TTOU) | bit(URG) | bit(WINCH);

const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Whether `/proc/PID/task/TID/status` shows a pending signal that must take effect: somebody's wish to end it, or
/// any other signal that would and has no handler. Blocked and ignored ones wait anyway.
pub fn fatal_pending(status: &str) -> bool {
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let Some(pending) = mask("SigPnd:")
        .zip(mask("ShdPnd:"))
        .map(|(own, shared)| own | shared)
    else {
        return false;
    };
    let blocked = mask("SigBlk:").unwrap_or(0);
    let ignored = mask("SigIgn:").unwrap_or(0);
    let caught = mask("SigCgt:").unwrap_or(0);
    let effective = pending & !blocked & !ignored;
    effective & WISHES != 0 || effective & !HARMLESS & !caught != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(own: u64, shared: u64, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tx\nSigQ:\t0/1\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n\
             SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn timers_and_children_of_a_program_cancel_nothing() {
        const ALRM: u64 = bit(14);
        assert!(!fatal_pending(&status(
            0,
            bit(CHLD) | bit(CONT) | bit(WINCH),
            0,
            0,
            0
        )));
        assert!(
            !fatal_pending(&status(ALRM, 0, 0, 0, ALRM)),
            "it has a handler"
        );
        assert!(
            fatal_pending(&status(ALRM, 0, 0, 0, 0)),
            "it would end the program"
        );
    }

    #[test]
    fn blocked_and_ignored_signals_wait_and_unreadable_status_says_nothing() {
        assert!(!fatal_pending(&status(0, bit(TERM), bit(TERM), 0, 0)));
        assert!(!fatal_pending(&status(0, bit(HUP), 0, bit(HUP), 0)));
        assert!(!fatal_pending(""));
        assert!(!fatal_pending("SigPnd:\tzzzz\nShdPnd:\t1\n"));
    }

    #[test]
    fn a_wish_to_end_it_counts_even_with_a_handler() {
        for signal in [HUP, INT, QUIT, TERM, KILL] {
            assert!(
                fatal_pending(&status(0, bit(signal), 0, 0, bit(signal))),
                "{signal}"
            );
        }
    }
}
