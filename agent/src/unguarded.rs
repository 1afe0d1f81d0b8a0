//! What somebody whom a policy guards cannot have this program do, however they became root.
//!
//! It keeps an honest person from it and names a dishonest one: who can write the files or unlink the pins as root needs no
//! program of ours.

use crate::{
    exit::{Code, Failure},
    kernel::{caller, pins::Pins},
};

/// Refuses whom a policy guards, and whoever cannot be told from them. `what` ends the sentence *cannot …*.
pub(crate) fn require(pins: &Pins, what: &str) -> Result<(), Failure> {
    match caller::guarded(pins) {
        Ok(None) => Ok(()),
        Ok(Some(auid)) => {
            let why = format!(
                "login uid {auid} is guarded on this host and cannot {what}; ask an operator whom no policy guards"
            );
            Err(Failure::new(Code::Privilege, why))
        }
        Err(error) => Err(Failure::of(
            "cannot find out whether a policy guards you, so nothing was changed",
            &error,
        )),
    }
}
