//! From the lease book to what is installed: those that permit something, of people whom this host knows.

use std::collections::BTreeMap;

use stayhand_guardrail::id::UserName;

use crate::{clock::Now, kernel::image::InstallLease, leases::LeaseBook};

impl LeaseBook {
    /// One for each permission of each lease.
    pub(super) fn rows(&self, uids: &BTreeMap<UserName, u32>, now: &Now) -> Vec<InstallLease> {
        let known = self
            .live(now)
            .filter_map(|lease| Some((lease, *uids.get(&lease.user)?)));
        known
            .flat_map(|(lease, auid)| {
                lease
                    .permissions
                    .iter()
                    .map(move |permission| InstallLease {
                        auid,
                        permission: permission.key(),
                        deadlines: lease.deadlines,
                        grant: lease.grant,
                    })
            })
            .collect()
    }
}
