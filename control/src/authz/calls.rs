//! Every call that operators can make, and the action that it is. A call that is not here has no action, which a test finds.

use super::Action;

/// `Service.Method` of `stayhand.v1`, and what it is.
pub const CALLS: [(&str, Action); 27] = [
    ("EventService.TailEvents", Action::EventRead),
    ("FlagService.ClearFlag", Action::FlagClear),
    ("FlagService.ListFlags", Action::FlagList),
    ("FlagService.SetFlag", Action::FlagSet),
    ("GrantService.CreateGrant", Action::GrantCreate),
    ("GrantService.GetGrant", Action::GrantRead),
    ("GrantService.ListGrants", Action::GrantList),
    ("GrantService.RevokeGrant", Action::GrantRevoke),
    ("GrantService.WatchGrant", Action::GrantRead),
    ("HoldService.ApproveHold", Action::HoldApprove),
    ("HoldService.GetHold", Action::HoldRead),
    ("HoldService.ListHolds", Action::HoldList),
    ("HoldService.RefuseHold", Action::HoldRefuse),
    ("HoldService.WatchHolds", Action::HoldList),
    ("HostService.GetHost", Action::HostRead),
    ("HostService.ListHosts", Action::HostList),
    ("IdentityService.GetIdentity", Action::IdentityRead),
    ("PolicyService.ApplyPolicy", Action::PolicyEdit),
    ("PolicyService.ApproveProposal", Action::PolicyApprove),
    ("PolicyService.ChangeRollout", Action::PolicyRollOut),
    ("PolicyService.GetPolicy", Action::PolicyRead),
    ("PolicyService.GetProposal", Action::PolicyRead),
    ("PolicyService.ListPolicies", Action::PolicyList),
    ("PolicyService.ListPolicyStatus", Action::PolicyList),
    ("PolicyService.ListProposals", Action::PolicyList),
    ("PolicyService.RefuseProposal", Action::PolicyRefuse),
    ("PolicyService.RemovePolicy", Action::PolicyRemove),
];
