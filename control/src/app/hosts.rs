//! Hosts: what they say of themselves, what they should enforce, how far they are.

use std::{collections::BTreeMap, sync::Arc};

use stayhand_guardrail::{
    hold::Fact,
    host::{Ack, HostState, Phase},
    id::{Generation, HostId},
    text::safe_cut,
    time::UnixMs,
};
use stayhand_proto::{
    message::{Hello, HostHealth},
    view::HostView,
};

use super::{App, Error, Session, access::host_resource, holds, view};
use crate::{
    authz::{Action, Resource},
    limits::{GENERATION_LEAP_MAX, REASON_CHARS_MAX, REASONS_MAX},
    operator::{HostAgent, Operator},
    store::{StoredHold, StoredMember, Write},
};

impl App {
    /// Takes in the first word of an agent. From here on its host counts as connected.
    pub async fn hello(
        self: &Arc<Self>,
        agent: &HostAgent,
        hello: &Hello,
    ) -> Result<Session, Error> {
        let host = agent.host();
        let mut write = self.store().begin().await?;
        let newest = write.generation().await?;
        let enforced = hello.enforced_generation;
        if enforced.0 > newest.0.saturating_add(GENERATION_LEAP_MAX) {
            return Err(Error::ImplausibleGeneration(host.clone()));
        }
        let known = write.host_desired(host).await?;
        if known
            .as_ref()
            .is_some_and(|(_, boot_id)| *boot_id != hello.boot_id.to_string())
        {
            rebooted(&mut write, host, self.now()).await?;
        }
        let traits = write.host_traits(host).await?;
        write.put_host(host, hello, self.now()).await?;
        // Another host than before, as far as roll-outs are concerned.
        let changed = traits.is_some_and(|(labels, watches)| {
            labels != hello.labels || watches != hello.watches_shadows
        });
        if changed && !write.in_force().await?.rolling.is_empty() {
            write.publish(Some(host)).await?;
        }
        // A host that this store does not know, or that is ahead of it: the numbers are another store's, or those
        // of a newer copy of this one, so what the host has says nothing about what it should have.
        let foreign = match &known {
            None => enforced > Generation(0),
            Some((desired, _)) => enforced > *desired,
        };
        if foreign {
            tracing::warn!(%host, %enforced, %newest, "host enforces a state that is not from this store");
            write.leap(enforced).await?;
            write.publish(Some(host)).await?;
        }
        write.commit().await?;
        tracing::info!(%host, %enforced, hooks = hello.hooks.len(), "host connected");
        Ok(self.enter(host))
    }

    /// Takes in a host's word on a generation.
    pub async fn acknowledge(&self, agent: &HostAgent, mut ack: Ack) -> Result<(), Error> {
        if let Phase::Rejected { reasons } = &mut ack.phase {
            reasons.truncate(REASONS_MAX);
            for reason in reasons.iter_mut() {
                *reason = safe_cut(reason.as_bytes(), REASON_CHARS_MAX);
            }
            tracing::warn!(host = %agent.host(), generation = %ack.generation, ?reasons, "host rejected a generation");
        }
        let mut write = self.store().begin().await?;
        write.acknowledge(agent.host(), &ack, self.now()).await?;
        write.commit().await?;
        Ok(())
    }

    /// Notes that a host is there, how many recorded decisions of it left no event, and how it is.
    pub async fn heartbeat(
        &self,
        agent: &HostAgent,
        events_lost: u64,
        mut health: Option<HostHealth>,
    ) -> Result<(), Error> {
        if let Some(health) = &mut health {
            health.problems.truncate(REASONS_MAX);
            for problem in &mut health.problems {
                *problem = safe_cut(problem.as_bytes(), REASON_CHARS_MAX);
            }
        }
        let mut write = self.store().begin().await?;
        write
            .seen(agent.host(), events_lost, health.as_ref(), self.now())
            .await?;
        write.commit().await?;
        Ok(())
    }

    /// The desired state, if its generation differs from what the host was sent last or enforces.
    pub async fn state_for(
        &self,
        agent: &HostAgent,
        sent: Generation,
    ) -> Result<Option<HostState>, Error> {
        match self.store().desired(agent.host()).await? {
            Some(desired) if desired != sent => {
                let state = self.store().host_state(agent.host(), self.now()).await?;
                // Never a lower one than before, whatever the store says.
                Ok(state.filter(|state| state.generation > sent))
            }
            _ => Ok(None),
        }
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

/// Processes of an earlier boot are gone, and so are their holds.
async fn rebooted(write: &mut Write<'_>, host: &HostId, now: UnixMs) -> Result<(), Error> {
    for StoredHold { hold, .. } in write.open_holds(host).await? {
        holds::happened(write, hold, Fact::ProcessGone, now).await?;
    }
    write.drop_answers(host).await?;
    Ok(())
}
