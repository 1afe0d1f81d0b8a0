//! What the control plane sends to a host: noted as it is meant, and lost, doubled or spoilt on its way now and then.

use stayhand_control::store::Looked;
use stayhand_guardrail::{host::HostState, id::GrantId, resource::StateDigest};
use stayhand_proto::{
    message::{Delivery, FromHost, ToHost, ToHostMessage},
    resources::Resources,
    v1::SyncResponse,
};

use crate::{
    mutant::Mutant,
    oracle::{Oracle, Violation, must},
    world::{Next, World},
};

impl World {
    /// Puts a word of the control plane on its way. What it means is looked up in the store, not in the word.
    pub(crate) async fn send_down(
        &mut self,
        index: usize,
        response: SyncResponse,
    ) -> Result<(), Violation> {
        let mut response: ToHost = response.try_into().unwrap();
        let Some(link) = self.links.get(&index) else {
            return Ok(());
        };
        let host = link.host;
        if let ToHostMessage::Delivery(delivery) = &mut response.message {
            self.note_meant(host, delivery).await?;
            if self.mutant == Some(Mutant::DeliveryIsAnother) {
                spoil(delivery);
            }
        }
        let copies = if self.misfortune(10) { 2 } else { 1 };
        if let Some(link) = self.links.get_mut(&index) {
            for _ in 0..copies {
                link.down.push_back(response.clone().into());
            }
        }
        for _ in 0..copies {
            self.soon(60, Next::Down(index));
        }
        Ok(())
    }

    async fn note_meant(&mut self, host: usize, delivery: &Delivery) -> Result<(), Violation> {
        let Some(control) = &self.control else {
            return Ok(());
        };
        let id = &self.hosts[host].place.host;
        let store = control.app.store();
        let state = store
            .host_state(
                id,
                stayhand_guardrail::id::Generation(0),
                control.app.now(),
                true,
            )
            .await;
        let Ok(Looked::Another(state)) = state else {
            return Ok(());
        };
        let digest = Resources::of(state.clone()).digest();
        must!(
            (digest, state.generation) == (delivery.digest_after, delivery.to),
            "{id} is sent {} as generation {}, and {digest} is meant as {}",
            delivery.digest_after,
            delivery.to,
            state.generation
        );
        self.oracle.meant(host, digest, state);
        Ok(())
    }

    /// A word of the control plane comes to the agent.
    pub(crate) fn down(&mut self, index: usize) {
        if self.stalls(index, Next::Down(index)) {
            return;
        }
        let is_lost = self.misfortune(10);
        let Some(link) = self.links.get_mut(&index) else {
            return;
        };
        let Some(response) = link.down.pop_front() else {
            return;
        };
        let host = link.host;
        if !link.agent_open || self.hosts[host].link != Some(index) {
            return;
        }
        let response: ToHost = response.try_into().unwrap();
        let (what, meant) = self.about(host, &response);
        if is_lost {
            return self.say(format!("{what} was lost"));
        }
        if !what.is_empty() {
            self.say(what);
        }
        if let ToHostMessage::Withdrawal(withdrawal) = &response.message {
            self.oracle.withdrawn(host, &withdrawal.grants);
        }
        let one = &self.hosts[host];
        let now = one.clocks.now();
        let Some(agent) = &one.agent else { return };
        let answer = agent.uplink.received(response, now).unwrap();
        match (&answer, meant) {
            (None, Some(state)) => {
                let time_ns = self.time.ns();
                self.oracle.received(host, &state, time_ns);
            }
            (Some(FromHost::Relist(relist)), _) => {
                let what = format!("{}: does not fit, {:?}", self.hosts[host].name, relist.why);
                self.oracle.misfits += 1;
                self.say(what);
            }
            _ => {}
        }
        if let (Some(answer), Some(link)) = (answer, self.links.get_mut(&index)) {
            link.up.push_back(answer.into());
            self.soon(60, Next::Up(index));
        }
    }

    /// What a word says, and the state that it means.
    fn about(&self, host: usize, response: &ToHost) -> (String, Option<HostState>) {
        let name = &self.hosts[host].name;
        match &response.message {
            ToHostMessage::Delivery(delivery) => {
                let what = format!(
                    "{name}: generation {} came after {:?} with {} resources, without {}",
                    delivery.to,
                    delivery.from,
                    delivery.upserted.len(),
                    delivery.removed.len()
                );
                let meant = self
                    .oracle
                    .state_of(host, delivery.to.0, delivery.digest_after);
                (what, meant)
            }
            ToHostMessage::Withdrawal(withdrawal) => {
                let what = format!(
                    "{name}: {} grants and {} answers are withdrawn",
                    withdrawal.grants.len(),
                    withdrawal.refusals.len()
                );
                (what, None)
            }
            ToHostMessage::State(state) => {
                let what = format!("{name}: state {} came as a whole", state.generation);
                (what, Some(state.clone()))
            }
            ToHostMessage::Bookmark { .. } => (String::new(), None),
        }
    }
}

impl Oracle {
    /// The control plane means this by what it sends.
    pub(crate) fn meant(&mut self, host: usize, digest: StateDigest, state: HostState) {
        let key = (state.generation.0, digest);
        self.hosts[host].meant.insert(key, state);
    }

    pub(crate) fn state_of(
        &self,
        host: usize,
        generation: u64,
        digest: StateDigest,
    ) -> Option<HostState> {
        self.hosts[host].meant.get(&(generation, digest)).cloned()
    }

    pub(crate) fn withdrawn(&mut self, host: usize, grants: &[GrantId]) {
        self.hosts[host].withdrawn.extend(grants);
    }

    /// A host says, or is shown to say, that it enforces this.
    pub(crate) fn says_of_digest(
        &self,
        host: usize,
        generation: u64,
        digest: Option<StateDigest>,
    ) -> Result<(), Violation> {
        let Some(digest) = digest else { return Ok(()) };
        must!(
            self.hosts[host].meant.contains_key(&(generation, digest)),
            "host-{} says that it enforces {digest} as generation {generation}, which nobody meant",
            host + 1
        );
        Ok(())
    }
}

/// A whole state without its last resource, with the digest of what is left.
fn spoil(delivery: &mut Delivery) {
    if delivery.from.is_some() || delivery.upserted.pop().is_none() {
        return;
    }
    let bodies = delivery.upserted.iter();
    let bodies: Vec<(&str, StateDigest)> = bodies
        .map(|one| (one.name.as_str(), StateDigest::of_body(&one.body)))
        .collect();
    delivery.digest_after = StateDigest::of_all(bodies.iter().map(|(name, one)| (*name, one)));
}
