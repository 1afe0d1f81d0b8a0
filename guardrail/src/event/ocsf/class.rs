//! The classes and numbers of OCSF 1.8.0 that are used.

/// An event class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) uid: u32,
}

impl Class {
    pub(super) const FILE_SYSTEM_ACTIVITY: Self = Self { uid: 1001 };
    pub(super) const KERNEL_ACTIVITY: Self = Self { uid: 1003 };
    pub(super) const PROCESS_ACTIVITY: Self = Self { uid: 1007 };
    pub(super) const EVENT_LOG_ACTIVITY: Self = Self { uid: 1008 };
    pub(super) const DETECTION_FINDING: Self = Self { uid: 2004 };
    pub(super) const AUTHENTICATION: Self = Self { uid: 3002 };
    pub(super) const ENTITY_MANAGEMENT: Self = Self { uid: 3004 };
    pub(super) const USER_ACCESS_MANAGEMENT: Self = Self { uid: 3005 };
    pub(super) const NETWORK_ACTIVITY: Self = Self { uid: 4001 };
    pub(super) const APPLICATION_LIFECYCLE: Self = Self { uid: 6002 };

    /// The thousands of a class are its category.
    pub(super) fn category(self) -> u32 {
        self.uid / 1000
    }

    pub(super) fn type_uid(self, activity: u32) -> u32 {
        self.uid * 100 + activity
    }
}

/// `activity_id`.
pub(super) mod activity {
    pub(in super::super) const KERNEL_INVOKE: u32 = 4;
    pub(in super::super) const PROCESS_LAUNCH: u32 = 1;
    pub(in super::super) const PROCESS_OPEN: u32 = 3;
    pub(in super::super) const PROCESS_SET_USER_ID: u32 = 5;
    pub(in super::super) const FILE_CREATE: u32 = 1;
    pub(in super::super) const FILE_READ: u32 = 2;
    pub(in super::super) const FILE_UPDATE: u32 = 3;
    pub(in super::super) const FILE_DELETE: u32 = 4;
    pub(in super::super) const FILE_RENAME: u32 = 5;
    pub(in super::super) const FILE_SET_ATTRIBUTES: u32 = 6;
    pub(in super::super) const FILE_MOUNT: u32 = 12;
    pub(in super::super) const FILE_UNMOUNT: u32 = 13;
    pub(in super::super) const NETWORK_OPEN: u32 = 1;
    pub(in super::super) const NETWORK_TRAFFIC: u32 = 6;
    pub(in super::super) const NETWORK_LISTEN: u32 = 7;
    pub(in super::super) const ASSIGN_PRIVILEGES: u32 = 1;
    pub(in super::super) const REVOKE_PRIVILEGES: u32 = 2;
    pub(in super::super) const LOGON: u32 = 1;
    pub(in super::super) const LOGOFF: u32 = 2;
    pub(in super::super) const ENTITY_CREATE: u32 = 1;
    pub(in super::super) const ENTITY_UPDATE: u32 = 3;
    pub(in super::super) const ENTITY_DELETE: u32 = 4;
    pub(in super::super) const APPLICATION_START: u32 = 3;
    pub(in super::super) const APPLICATION_STOP: u32 = 4;
    pub(in super::super) const APPLICATION_ENABLE: u32 = 6;
    pub(in super::super) const FINDING_CREATE: u32 = 1;
    pub(in super::super) const OTHER: u32 = 99;
}

/// `severity_id`.
pub(super) mod severity {
    pub(in super::super) const INFORMATIONAL: u32 = 1;
    pub(in super::super) const LOW: u32 = 2;
    pub(in super::super) const MEDIUM: u32 = 3;
    pub(in super::super) const HIGH: u32 = 4;
    pub(in super::super) const CRITICAL: u32 = 5;
}

/// `status_id`.
pub(super) mod status {
    pub(in super::super) const UNKNOWN: u32 = 0;
    pub(in super::super) const SUCCESS: u32 = 1;
    pub(in super::super) const FAILURE: u32 = 2;
}

/// `action_id` of the Security Control profile.
pub(super) mod action {
    pub(in super::super) const ALLOWED: u32 = 1;
    pub(in super::super) const DENIED: u32 = 2;
    pub(in super::super) const OBSERVED: u32 = 3;
    pub(in super::super) const MODIFIED: u32 = 4;
}

/// `disposition_id` of the Security Control profile.
pub(super) mod disposition {
    pub(in super::super) const ALLOWED: u32 = 1;
    pub(in super::super) const BLOCKED: u32 = 2;
    pub(in super::super) const APPROVED: u32 = 8;
    pub(in super::super) const DELAYED: u32 = 14;
    pub(in super::super) const DETECTED: u32 = 15;
    pub(in super::super) const ALERT: u32 = 19;
    pub(in super::super) const REJECTED: u32 = 25;
    pub(in super::super) const UNAUTHORIZED: u32 = 26;
    pub(in super::super) const ERROR: u32 = 27;
}
