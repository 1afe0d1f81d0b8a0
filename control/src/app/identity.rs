//! Who somebody is here, and what rules let them do.

use super::{App, Error};
use crate::{
    authz::{Action, Caller, May, Resource},
    operator::Operator,
};

impl App {
    /// The caller, and what rules let them do.
    pub fn identity(&self, operator: &Operator) -> Result<(Caller, Vec<May>), Error> {
        self.allows(operator, Action::IdentityRead, &Resource::Control)?;
        Ok((operator.caller().clone(), operator.rights()))
    }
}
