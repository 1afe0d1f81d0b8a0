//! Leases to the kernel's rows.

use std::{cmp::Reverse, collections::BTreeMap};

use stayhand_agent_ebpf::abi::image::{LEASES_PER_ROW, Lease, LeaseRow};

use crate::{id::UserName, key::PermissionKey, policy::explain::TimedLease};

/// Rows of leases by user and permission. Of more than fit, those that end last are kept: their union decides.
pub fn rows(leases: &[TimedLease]) -> BTreeMap<(UserName, PermissionKey), LeaseRow> {
    let mut found: BTreeMap<(UserName, PermissionKey), Vec<Lease>> = BTreeMap::new();
    for lease in leases {
        let row = Lease {
            boot_deadline_ns: lease.boot_deadline_ns,
            tai_deadline_ns: lease.tai_deadline_ns,
            grant: lease.grant.halves(),
        };
        for permission in &lease.permissions {
            found
                .entry((lease.user.clone(), permission.key()))
                .or_default()
                .push(row);
        }
    }
    found
        .into_iter()
        .map(|(key, list)| (key, row(list)))
        .collect()
}

fn row(mut list: Vec<Lease>) -> LeaseRow {
    list.sort_by_key(|lease| {
        Reverse((
            lease.boot_deadline_ns.min(lease.tai_deadline_ns),
            lease.grant,
        ))
    });
    let mut row = LeaseRow::default();
    for (place, lease) in row
        .leases
        .iter_mut()
        .zip(list.into_iter().take(LEASES_PER_ROW))
    {
        *place = lease;
    }
    row
}
