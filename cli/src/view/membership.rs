//! How a host came to be one of ours, and whether it still is.

use serde::Serialize;
use stayhand_guardrail::text::safe;
use stayhand_proto::v1;

use super::parts::{self, Time};
use crate::time::Moment;

/// A host that joined.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Membership {
    join_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_expire_time: Option<Time>,
    /// How often it got a certificate by its bound key, because the one it had was over
    recoveries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke_time: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    revoked_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    revoke_reason: String,
}

impl Membership {
    pub(crate) fn of(wire: v1::HostMembership) -> Self {
        Self {
            join_time: parts::time(wire.join_time),
            certificate_expire_time: parts::time(wire.certificate_expire_time),
            recoveries: wire.recoveries,
            revoke_time: parts::time(wire.revoke_time),
            revoked_by: wire.revoked_by,
            revoke_reason: wire.revoke_reason,
        }
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoke_time.is_some()
    }

    pub(crate) fn said(&self, moment: &Moment) -> String {
        let stamp = |time: Option<Time>| time.map(|time| moment.full(time)).unwrap_or_default();
        if self.is_revoked() {
            return format!(
                "REVOKED {} by {}: {}",
                stamp(self.revoke_time),
                safe(&self.revoked_by),
                safe(&self.revoke_reason)
            );
        }
        let mut said = format!("joined {}", stamp(self.join_time));
        if let Some(end) = self.certificate_expire_time {
            said.push_str(&format!(
                "; its certificate counts until {}",
                moment.full(end)
            ));
        }
        if self.recoveries > 0 {
            said.push_str(&format!(
                "; came back by its bound key {} times",
                self.recoveries
            ));
        }
        said
    }
}
