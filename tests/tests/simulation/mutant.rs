//! Wrong behaviours of what stands in for the world: each breaks a promise that the checks are to notice.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The kernel takes every lease for good, whatever its deadlines say
    KernelIgnoresDeadlines,
    /// The kernel lets a call go on again with an approval that was used
    KernelForgetsUse,
    /// The kernel drops records and counts none of them
    RingLosesSilently,
    /// Whoever installs images leaves the leases in that were there
    RevokedLeaseStays,
    /// Events are acknowledged before they are stored
    AcknowledgedBeforeStored,
    /// Whoever is held passes for somebody else at the control plane
    IdentityLies,
    /// What a host synced is gone after a power failure
    DiskLies,
    /// A hold that nobody answered is answered by a stray word to the kernel
    AnswersForgedOnHost,
    /// A host enforces the state before the newest and says that it is the newest
    HostSaysEnforcedTooEarly,
    /// Something is taken out of what is sent, and its digest is made to fit
    DeliveryIsAnother,
    /// The kernel takes every lease, however long nothing proved that it should
    KernelIgnoresFreshness,
    /// A certificate counts whatever its end is
    CertificatesNeverEnd,
    /// Nobody looks whether a certificate was taken away
    RevokedHostIsHeard,
    /// What was issued is not there any more
    CertificateIsForgotten,
    /// A lock is taken away as soon as it is made
    LockIsForgotten,
    /// Which rule decided is left out of events
    EventsNameNoRule,
    /// Of a grant only those hosts are shown that are connected
    AwayHostIsLeftOut,
    /// Of all that somebody was granted the kernel knows one lease
    KernelForgetsLeases,
    /// The kernel lets a grant count without a record, whatever policies say
    KernelNeedsNoRecord,
    /// The kernel holds for an agent that is gone, whatever policies say
    KernelWaitsForNobody,
    /// The kernel lets no grant count without a record, whatever policies say
    KernelNeedsEveryRecord,
    /// The kernel takes an agent for dead that it has not heard for a second
    KernelIsImpatient,
}

impl Mutant {
    pub(crate) const ALL: [Self; 22] = [
        Self::KernelIgnoresDeadlines,
        Self::KernelForgetsUse,
        Self::RingLosesSilently,
        Self::RevokedLeaseStays,
        Self::AcknowledgedBeforeStored,
        Self::IdentityLies,
        Self::DiskLies,
        Self::AnswersForgedOnHost,
        Self::HostSaysEnforcedTooEarly,
        Self::DeliveryIsAnother,
        Self::KernelIgnoresFreshness,
        Self::CertificatesNeverEnd,
        Self::RevokedHostIsHeard,
        Self::CertificateIsForgotten,
        Self::LockIsForgotten,
        Self::EventsNameNoRule,
        Self::AwayHostIsLeftOut,
        Self::KernelForgetsLeases,
        Self::KernelNeedsNoRecord,
        Self::KernelWaitsForNobody,
        Self::KernelNeedsEveryRecord,
        Self::KernelIsImpatient,
    ];

    /// A seed that found it once. Another story finds it elsewhere, which takes longer and is as good.
    pub(crate) fn was_found_by(self) -> u64 {
        match self {
            Self::KernelForgetsUse | Self::AcknowledgedBeforeStored => 2,
            Self::DiskLies | Self::DeliveryIsAnother | Self::CertificateIsForgotten => 3,
            Self::KernelIsImpatient => 4,
            Self::RevokedHostIsHeard => 5,
            Self::RingLosesSilently | Self::KernelNeedsEveryRecord => 7,
            Self::CertificatesNeverEnd => 17,
            Self::KernelIgnoresDeadlines => 45,
            Self::KernelWaitsForNobody => 56,
            Self::KernelNeedsNoRecord => 77,
            Self::KernelIgnoresFreshness => 84,
            _ => 1,
        }
    }

    /// What the check says that is about it.
    pub(crate) fn is_shown_by(self) -> &'static [&'static str] {
        match self {
            Self::KernelIgnoresDeadlines => &["over by one of the clocks"],
            Self::KernelForgetsUse => &["went on 2 times"],
            Self::RingLosesSilently => &["decisions were recorded"],
            Self::RevokedLeaseStays => &["which is not in it", "removed from it"],
            Self::AcknowledgedBeforeStored => &["are stored", "are missing"],
            Self::IdentityLies => &["own, and it went on", "grant to themselves"],
            Self::DiskLies => &["in the end", "are stored", "are missing", "permits by"],
            Self::AnswersForgedOnHost => &["went on after the approval of {}"],
            Self::HostSaysEnforcedTooEarly => &["says that"],
            Self::DeliveryIsAnother => &["which nobody meant"],
            Self::KernelIgnoresFreshness => &["after it was void there"],
            Self::CertificatesNeverEnd => &["by a certificate that is over"],
            Self::RevokedHostIsHeard => &["by a certificate that was taken away"],
            Self::CertificateIsForgotten => &["that the control plane forgot"],
            Self::LockIsForgotten => &["is shown with lock", "while a lock stood"],
            Self::EventsNameNoRule => &["does not name what decided it"],
            Self::AwayHostIsLeftOut => &["which is not named with it"],
            Self::KernelForgetsLeases => &["has a live grant for"],
            Self::KernelNeedsNoRecord => &["went on without a record"],
            Self::KernelWaitsForNobody => &["for an agent that is gone"],
            Self::KernelNeedsEveryRecord => &["for want of a record"],
            Self::KernelIsImpatient => &["for want of an agent"],
        }
    }
}
