//! Hosts: what they should enforce, and what is shown of them.

use std::collections::BTreeMap;

use stayhand_guardrail::{
    id::{Generation, HostId},
    text::safe_cut,
};
use stayhand_proto::view::HostView;

use super::{App, Error, access::host_resource, view};
use crate::{
    authz::{Action, Resource},
    limits::REASON_CHARS_MAX,
    operator::{HostAgent, Operator},
    store::{Looked, StoredMember},
};

impl App {
    /// Notes that what was sent to a host did not fit what it holds, so that everything is sent again.
    pub async fn relisted(&self, agent: &HostAgent, why: &str) -> Result<(), Error> {
        let reason = safe_cut(why.as_bytes(), REASON_CHARS_MAX);
        tracing::warn!(host = %agent.host(), reason, "everything is sent again: a delivery did not fit");
        let mut write = self.store().begin_for_host().await?;
        write.relisted(agent.host(), &reason, self.now()).await?;
        write.commit().await?;
        Ok(())
    }

    /// What the host should have, seen from the generation that it was sent last or enforces. Whoever only looks whether something was
    /// missed is in no hurry, and waits a moment for others.
    pub async fn state_for(
        &self,
        agent: &HostAgent,
        sent: Generation,
        urgent: bool,
    ) -> Result<Looked, Error> {
        let looked = self
            .store()
            .host_state(agent.host(), sent, self.now(), urgent)
            .await?;
        Ok(match looked {
            // Never a lower one than before, whatever the store says; and that proves nothing about what the host has.
            Looked::Another(state) if state.generation <= sent => Looked::Unknown,
            looked => looked,
        })
    }

    /// A host.
    pub async fn host(&self, operator: &Operator, id: HostId) -> Result<HostView, Error> {
        let found = self.store().hosts(Some(&id), "", 1).await?.pop();
        let resource = self.named_host(&id).await?;
        self.allows(operator, Action::HostRead, &resource)?;
        let found = found.ok_or_else(|| Error::UnknownHost(id.clone()))?;
        let member = self.store().member(&id).await?;
        Ok(view::host(self.seen(found), member))
    }

    /// Hosts by name, after one; of those that somebody does not get to see only the name.
    pub async fn host_list(
        &self,
        operator: &Operator,
        after: &str,
        max: u32,
    ) -> Result<Vec<(HostId, Option<HostView>)>, Error> {
        self.allows(operator, Action::HostList, &Resource::Control)?;
        let hosts = self.store().hosts(None, after, max).await?;
        let members = self.store().members().await?.into_iter();
        let mut members: BTreeMap<HostId, StoredMember> = members
            .map(|member| (member.host.clone(), member))
            .collect();
        let listed = hosts.into_iter().map(|host| {
            let shown = self.shows(operator, Action::HostRead, &host_resource(&host), false);
            let (id, member) = (host.id.clone(), members.remove(&host.id));
            (id, shown.then(|| view::host(self.seen(host), member)))
        });
        Ok(listed.collect())
    }
}
