//! `PolicyService`.

use stayhand_guardrail::{
    id::{PolicyName, Revision},
    limits::SOURCE_BYTES_MAX,
};
use stayhand_proto::{
    convert::{name, optional},
    v1::{
        ApplyPolicyRequest, ApplyPolicyResponse, ApproveProposalRequest, ChangeRolloutRequest,
        GetPolicyRequest, GetProposalRequest, ListPoliciesRequest, ListPoliciesResponse,
        ListPolicyStatusRequest, ListPolicyStatusResponse, ListProposalsRequest,
        ListProposalsResponse, Policy, PolicyProposal, PolicyRollout, RefuseProposalRequest,
        RemovePolicyRequest, RemovePolicyResponse, change_rollout_request::Change,
        policy_service_server::PolicyService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, page::Page, status};
use crate::app::{Applied, ApplyPolicy, Error, RemovePolicy, Removed, RolloutChange};
use crate::authz::Action;

#[tonic::async_trait]
impl PolicyService for Api {
    async fn apply_policy(
        &self,
        request: Request<ApplyPolicyRequest>,
    ) -> Result<Response<ApplyPolicyResponse>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyEdit).await?;
        let ApplyPolicyRequest {
            source,
            validate_only,
            etag,
            rollout,
            stop_reason,
        } = request.into_inner();
        if source.len() > SOURCE_BYTES_MAX {
            let problem = format!(
                "has {} bytes, more than the {SOURCE_BYTES_MAX} that are allowed",
                source.len()
            );
            return Err(status::of(&Error::field("source", problem)));
        }
        let rollout =
            optional("rollout", rollout).map_err(|invalid| status::of(&invalid.into()))?;
        let apply = ApplyPolicy {
            source,
            validate_only,
            etag,
            rollout,
            stop_reason: Some(stop_reason).filter(|reason| !reason.is_empty()),
        };
        let applied = self
            .to_the_end(|app| async move { app.apply_policy(&operator, apply).await })
            .await?;
        let Applied {
            policy,
            changed,
            warnings,
            proposal,
        } = applied;
        let warnings = warnings.into_iter().map(Into::into).collect();
        Ok(Response::new(ApplyPolicyResponse {
            policy: Some(policy.into()),
            changed,
            warnings,
            proposal: proposal.map(Into::into),
        }))
    }

    async fn remove_policy(
        &self,
        request: Request<RemovePolicyRequest>,
    ) -> Result<Response<RemovePolicyResponse>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyRemove).await?;
        let RemovePolicyRequest {
            name: policy,
            reason,
            validate_only,
            etag,
        } = request.into_inner();
        let removed = self.to_the_end(|app| async move {
            let remove = RemovePolicy {
                name: name::parse("name", name::POLICIES, &policy)?,
                reason,
                validate_only,
                etag,
            };
            app.remove_policy(&operator, remove).await
        });
        let Removed { policy, proposal } = removed.await?;
        Ok(Response::new(RemovePolicyResponse {
            policy: Some(policy.into()),
            proposal: proposal.map(Into::into),
        }))
    }

    async fn get_policy(
        &self,
        request: Request<GetPolicyRequest>,
    ) -> Result<Response<Policy>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyRead).await?;
        let GetPolicyRequest {
            name: asked,
            revision,
        } = request.into_inner();
        let get = async {
            let name: PolicyName = name::parse("name", name::POLICIES, &asked)?;
            let revision = (revision != 0).then_some(Revision(revision));
            self.app.policy(&operator, name, revision).await
        };
        get.await
            .map(|view| Response::new(view.into()))
            .map_err(|error| status::of(&error))
    }

    async fn list_policies(
        &self,
        request: Request<ListPoliciesRequest>,
    ) -> Result<Response<ListPoliciesResponse>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyList).await?;
        let ListPoliciesRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let list = async {
            let page = Page::of("policies", &(), page_size, &page_token)?;
            let mut found = self.app.policy_list(&operator).await?;
            if let Some(after) = &page.cursor {
                found.retain(|one| one.name.as_str() > after.as_str());
            }
            found.truncate(page.size as usize);
            let next_page_token = page.next(found.len(), found.last().map(|one| one.name.clone()));
            Ok(ListPoliciesResponse {
                policies: found.into_iter().map(Into::into).collect(),
                next_page_token,
            })
        };
        list.await
            .map(Response::new)
            .map_err(|error: Error| status::of(&error))
    }

    async fn list_proposals(
        &self,
        request: Request<ListProposalsRequest>,
    ) -> Result<Response<ListProposalsResponse>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyList).await?;
        let ListProposalsRequest {
            page_size,
            page_token,
            show_ended,
        } = request.into_inner();
        let list = async {
            let page = Page::of("proposals", &show_ended, page_size, &page_token)?;
            let found = self
                .app
                .proposal_list(&operator, show_ended, page.before()?, page.size)
                .await?;
            let next_page_token = page.next(found.len(), found.last().map(|(id, _)| id.0));
            let proposals = found.into_iter().filter_map(|(_, proposal)| proposal);
            Ok(ListProposalsResponse {
                proposals: proposals.map(Into::into).collect(),
                next_page_token,
            })
        };
        list.await
            .map(Response::new)
            .map_err(|error: Error| status::of(&error))
    }

    async fn get_proposal(
        &self,
        request: Request<GetProposalRequest>,
    ) -> Result<Response<PolicyProposal>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyRead).await?;
        let GetProposalRequest { name: asked } = request.into_inner();
        let get = async {
            let id = name::parse("name", name::PROPOSALS, &asked)?;
            self.app.proposal(&operator, id).await
        };
        get.await
            .map(|proposal| Response::new(proposal.into()))
            .map_err(|error: Error| status::of(&error))
    }

    async fn approve_proposal(
        &self,
        request: Request<ApproveProposalRequest>,
    ) -> Result<Response<PolicyProposal>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyApprove).await?;
        let ApproveProposalRequest {
            name: asked,
            reason,
        } = request.into_inner();
        let approved = self.to_the_end(|app| async move {
            let id = name::parse("name", name::PROPOSALS, &asked)?;
            app.approve_proposal(&operator, id, reason).await
        });
        Ok(Response::new(approved.await?.into()))
    }

    async fn refuse_proposal(
        &self,
        request: Request<RefuseProposalRequest>,
    ) -> Result<Response<PolicyProposal>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyRefuse).await?;
        let RefuseProposalRequest {
            name: asked,
            reason,
        } = request.into_inner();
        let refused = self.to_the_end(|app| async move {
            let id = name::parse("name", name::PROPOSALS, &asked)?;
            app.refuse_proposal(&operator, id, reason).await
        });
        Ok(Response::new(refused.await?.into()))
    }

    async fn change_rollout(
        &self,
        request: Request<ChangeRolloutRequest>,
    ) -> Result<Response<PolicyRollout>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyRollOut).await?;
        let wire = request.into_inner();
        let asked = wire.change();
        let ChangeRolloutRequest {
            name: policy,
            change: _,
            reason,
            phase,
        } = wire;
        let changed = self.to_the_end(|app| async move {
            let policy = name::parse("name", name::POLICIES, &policy)?;
            let change = match asked {
                Change::Stop => RolloutChange::Stop,
                Change::Resume => RolloutChange::Resume,
                Change::Advance => RolloutChange::Advance {
                    from: phase
                        .parse()
                        .map_err(|error| Error::field("phase", error))?,
                },
                Change::Unspecified => {
                    return Err(Error::field("change", "is no change of a roll-out"));
                }
            };
            app.change_rollout(&operator, policy, change, reason).await
        });
        Ok(Response::new(changed.await?.into()))
    }

    async fn list_policy_status(
        &self,
        request: Request<ListPolicyStatusRequest>,
    ) -> Result<Response<ListPolicyStatusResponse>, Status> {
        let operator = self.gate.operator(&request, Action::PolicyList).await?;
        let ListPolicyStatusRequest {
            page_size,
            page_token,
            name: asked,
        } = request.into_inner();
        let list = async {
            let only: Option<PolicyName> = name::optional("name", name::POLICIES, &asked)?;
            let page = Page::of("status", &asked, page_size, &page_token)?;
            let mut found = self.app.policy_status(&operator, only.as_ref()).await?;
            if let Some(after) = &page.cursor {
                found.retain(|one| one.policy.as_str() > after.as_str());
            }
            found.truncate(page.size as usize);
            let next_page_token =
                page.next(found.len(), found.last().map(|one| one.policy.clone()));
            Ok(ListPolicyStatusResponse {
                policies: found.into_iter().map(Into::into).collect(),
                next_page_token,
            })
        };
        list.await
            .map(Response::new)
            .map_err(|error: Error| status::of(&error))
    }
}
