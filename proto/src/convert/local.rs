//! What the agent tells about a process on its host.

use super::{Invalid, invalid::optional};
use crate::{message::Identity, v1};

impl From<Identity> for v1::IdentifyProcessResponse {
    fn from(identity: Identity) -> Self {
        let Identity { subject, guarded } = identity;
        Self {
            pinned: subject.is_some(),
            subject: subject.map(Into::into),
            guarded,
        }
    }
}

impl TryFrom<v1::IdentifyProcessResponse> for Identity {
    type Error = Invalid;
    fn try_from(wire: v1::IdentifyProcessResponse) -> Result<Self, Invalid> {
        let v1::IdentifyProcessResponse {
            pinned,
            subject,
            guarded,
        } = wire;
        let subject = optional("subject", subject)?;
        match (pinned, subject) {
            (true, None) => Err(Invalid::missing("subject")),
            (true, subject) => Ok(Self { subject, guarded }),
            (false, _) if guarded => Err(Invalid::new(
                "guarded",
                "is true for a process without a pin",
            )),
            (false, _) => Ok(Self {
                subject: None,
                guarded,
            }),
        }
    }
}
