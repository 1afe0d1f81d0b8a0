//! Holds: reported by hosts, answered by operators. An answer and its audit record are one transaction; the
//! answer is part of the host's desired state until the host says that the hold is over.

use stayhand_guardrail::{
    hold::{Approval, Cancel, Effect, Fact, Hold, HoldState, Illegal, Step},
    host::Answer,
    id::HoldId,
    limits::HOLD_TIMEOUT_MAX,
    prefix::PrefixError,
    time::UnixMs,
};

use super::{App, Error, LockError, SeenHold, ids, locks};
use crate::{
    authz::{Action, Resource},
    limits::{ENDINGS_PER_TICK, HOLD_GRACE, HOLDS_PER_HOST_MAX},
    operator::{HostAgent, Operator},
    store::{Growth, StoredHold, Write},
};

impl App {
    /// Approves or refuses a hold. An approval may be one of several that it takes.
    pub async fn answer_hold(
        &self,
        operator: &Operator,
        id: HoldId,
        answer: Answer,
        reason: String,
    ) -> Result<SeenHold, Error> {
        ids::reason(&reason)?;
        // Before the transaction, as everything that may take its time.
        let approving = match answer {
            Answer::Approved => Some(self.approving(operator).await?),
            Answer::Refused => None,
        };
        let mut write = self.store().begin().await?;
        let Some(StoredHold { hold, .. }) = write.hold(id).await? else {
            return Err(unknown(id));
        };
        // Whatever the configuration says, and even if no policy guards them any more.
        let own = operator.is(&hold.subject);
        if own {
            return Err(Error::OwnHold(operator.user().clone()));
        }
        let action = match answer {
            Answer::Approved => Action::HoldApprove,
            Answer::Refused => Action::HoldRefuse,
        };
        let labels = self.labels([&hold.host].into_iter()).await?;
        // The rules hear of it all the same: they are no worse a guard should the one above ever go.
        self.allows_of(operator, action, &labels.hold(&hold), own)?;
        let now = self.now();
        if let Some(lapse) = hold.lapse(now).filter(|_| now < hold.expire_time) {
            // Nobody had looked yet: whoever is too late finds it as it is from now on.
            lapsed(&mut write, hold, now).await?;
            write.commit().await?;
            let why = lapse.to_string();
            return Err(Illegal::Lapsed {
                hold: id,
                why,
                at: lapse.at,
            }
            .into());
        }
        if answer == Answer::Approved
            && let Some(lock) = locks::on_hold(&mut write, &hold).await?
        {
            return Err(LockError::Locked(Box::new(lock)).into());
        }
        let step = if let Some(approving) = approving {
            let by = approving.reviewer.clone();
            let step = hold.step(Fact::Approve { by, reason }, now);
            step.map_err(|illegal| approving.refusal(illegal))?
        } else {
            let by = operator.user().clone();
            hold.step(Fact::Refuse { by, reason }, now)?
        };
        let hold = carry_out(&mut write, step, now).await?;
        // An approval that is not the last one is no business of the host's.
        if hold.state != HoldState::Pending {
            write.publish(Some(&hold.host)).await?;
        }
        write.commit().await?;
        tracing::info!(hold = %id, state = %hold.state.phase(), by = %operator.user(), "hold answered");
        Ok(self.seen_hold(operator, hold, &labels))
    }

    /// Takes in a host's word on one of its holds.
    pub async fn report_hold(&self, agent: &HostAgent, mut reported: Hold) -> Result<(), Error> {
        reported.host = agent.host().clone();
        // Hosts know of no plans, and are not asked; neither are they of what the policy says. Before the transaction: a
        // policy is read.
        if self.store().hold(reported.id).await?.is_none() {
            match self.of_rule(&reported.rule).await? {
                Some(of_rule) => {
                    reported.approval = of_rule.approval;
                    reported.sensitivity = of_rule.sensitivity;
                }
                // Nobody may approve it; that its host calls it sensitive is one more reason to look there.
                None => reported.approval = Approval::Unknown,
            }
        }
        let mut write = self.store().begin_for_host().await?;
        match write.hold(reported.id).await? {
            None if !is_own_word(&reported.state) => {
                let why = "it says that it was answered, and nothing here knows of that";
                self.pass_over(&reported.host, reported.id, why);
                return Ok(());
            }
            // Only a host that lies has more: its kernel has room for no more.
            None if write.count_open_holds(&reported.host).await? >= HOLDS_PER_HOST_MAX => {
                let why = "the host has more than a kernel has room for";
                self.pass_over(&reported.host, reported.id, why);
                return Ok(());
            }
            // Its host hears what else changes all the same; nobody can answer this one.
            None if !write.has_room_for(Growth::Holds).await? => {
                self.pass_over(&reported.host, reported.id, "the store has no room for it");
                return Ok(());
            }
            None => {
                // No rule holds for longer, so this cuts no honest host's deadline, whatever its clock says.
                let latest = self.now().plus(HOLD_TIMEOUT_MAX);
                reported.expire_time = reported.expire_time.min(latest);
                tracing::info!(hold = %reported.id, host = %reported.host, "hold opened");
                write.put_hold(&reported).await?;
                if !reported.state.is_over()
                    && let Some(lock) = locks::on_hold(&mut write, &reported).await?
                {
                    let host = reported.host.clone();
                    locks::refuse(&mut write, reported, &lock, self.now()).await?;
                    write.publish(Some(&host)).await?;
                }
            }
            Some(StoredHold { hold, .. }) if hold.host != reported.host => {
                self.pass_over(&reported.host, hold.id, "it is another host's");
                return Ok(());
            }
            Some(StoredHold { hold, .. }) => {
                let id = hold.id;
                if let Some(fact) = fact(&reported.state) {
                    happened(&mut write, hold, fact, self.now()).await?;
                }
                // A refusal or a late answer, too: the host is through with it.
                if reported.state.is_over() {
                    write.drop_answer(id).await?;
                }
            }
        }
        write.commit().await?;
        Ok(())
    }

    /// Refuses what is held where a stage of the approval was not complete in its time.
    pub(super) async fn lapse_holds(&self) -> Result<(), Error> {
        let now = self.now();
        let mut write = self.store().begin().await?;
        for StoredHold { hold, .. } in write.lapsed_holds(now, ENDINGS_PER_TICK).await? {
            lapsed(&mut write, hold, now).await?;
        }
        write.commit().await?;
        Ok(())
    }

    /// Times out holds of which no host said anything: the host is away, and its kernel refuses by itself.
    pub(super) async fn time_out_holds(&self) -> Result<(), Error> {
        let now = self.now();
        let before = UnixMs(now.0.saturating_sub(HOLD_GRACE.0));
        let mut write = self.store().begin().await?;
        for StoredHold { hold, .. } in write.overdue_holds(before, ENDINGS_PER_TICK).await? {
            happened(&mut write, hold, Fact::Deadline, now).await?;
        }
        write.commit().await?;
        Ok(())
    }

    /// A hold.
    pub async fn hold(&self, operator: &Operator, id: HoldId) -> Result<SeenHold, Error> {
        let found = self.store().hold(id).await?;
        let hold = found.ok_or_else(|| unknown(id))?.hold;
        let own = operator.is(&hold.subject);
        let labels = self.labels([&hold.host].into_iter()).await?;
        self.allows_of(operator, Action::HoldRead, &labels.hold(&hold), own)?;
        Ok(self.seen_hold(operator, hold, &labels))
    }

    /// Holds, the newest change first, each with the number of that; of those that somebody does not get to see only the number.
    pub async fn hold_list(
        &self,
        operator: &Operator,
        show_ended: bool,
        before: u64,
        max: u32,
    ) -> Result<Vec<(u64, Option<SeenHold>)>, Error> {
        self.allows(operator, Action::HoldList, &Resource::Control)?;
        let found = self.store().holds(show_ended, before, max).await?;
        self.seen_holds(operator, found).await
    }

    /// Holds that changed after a number, oldest change first, in the same way.
    pub async fn holds_after(
        &self,
        operator: &Operator,
        after: u64,
        max: u32,
    ) -> Result<Vec<(u64, Option<SeenHold>)>, Error> {
        self.allows(operator, Action::HoldList, &Resource::Control)?;
        let found = self.store().holds_changed_after(after, max).await?;
        self.seen_holds(operator, found).await
    }

    async fn seen_holds(
        &self,
        operator: &Operator,
        found: Vec<StoredHold>,
    ) -> Result<Vec<(u64, Option<SeenHold>)>, Error> {
        let labels = self.labels(found.iter().map(|one| &one.hold.host)).await?;
        let seen = |StoredHold { hold, changed }| {
            let shown = self.shows_hold(operator, &hold, &labels);
            (
                changed,
                shown.then(|| self.seen_hold(operator, hold, &labels)),
            )
        };
        Ok(found.into_iter().map(seen).collect())
    }
}

/// What a host can know by itself of a hold that is not known here. Every answer was written down here before any host heard of it: a
/// host that says so of another hold makes it up, or this store is a copy from before that answer, and nobody here can tell which. What
/// the kernel then decided is among the host's events in any case.
fn is_own_word(state: &HoldState) -> bool {
    match state {
        HoldState::Pending
        | HoldState::TimedOut { .. }
        | HoldState::Cancelled { .. }
        | HoldState::Void { .. } => true,
        HoldState::Approved { .. } | HoldState::Refused { .. } | HoldState::Lapsed { .. } => false,
    }
}

/// What a host's word means for the hold; what it only repeats means nothing.
fn fact(reported: &HoldState) -> Option<Fact> {
    match reported {
        HoldState::Pending
        | HoldState::Approved { released: None, .. }
        | HoldState::Refused { .. }
        | HoldState::Lapsed { .. } => None,
        HoldState::Approved {
            released: Some(_), ..
        } => Some(Fact::Consumed),
        HoldState::TimedOut { .. } => Some(Fact::Deadline),
        HoldState::Cancelled {
            cause: Cancel::ProcessGone,
            ..
        } => Some(Fact::ProcessGone),
        HoldState::Cancelled {
            cause: Cancel::FatalSignal,
            ..
        } => Some(Fact::FatalSignal),
        HoldState::Void { .. } => Some(Fact::NeverRestarted),
    }
}

/// Lets what a host's kernel did happen here, too. The same fact can come twice, on the stream and as an event;
/// what cannot be is logged and changes nothing.
pub(super) async fn happened(
    write: &mut Write<'_>,
    hold: Hold,
    fact: Fact,
    now: UnixMs,
) -> Result<(), Error> {
    // The kernel's word on its own deadline stands, whatever the two clocks say.
    let now = match fact {
        Fact::Deadline => now.max(hold.expire_time),
        _ => now,
    };
    match hold.step(fact, now) {
        Ok(step) => carry_out(write, step, now).await.map(|_| ()),
        Err(illegal @ Illegal::NotApproved { .. }) => {
            tracing::error!(%illegal, "a host says what cannot be");
            Ok(())
        }
        Err(illegal) => {
            tracing::debug!(%illegal, "already known");
            Ok(())
        }
    }
}

/// Ends a hold of which a stage has had its time; its host hears of it as of a refusal.
async fn lapsed(write: &mut Write<'_>, hold: Hold, now: UnixMs) -> Result<(), Error> {
    let step = hold.step(Fact::StageOver, now)?;
    let hold = carry_out(write, step, now).await?;
    write.publish(Some(&hold.host)).await?;
    tracing::info!(hold = %hold.id, why = hold.state.why(), "hold lapsed");
    Ok(())
}

/// Writes the hold and what its step asks for.
pub(super) async fn carry_out(
    write: &mut Write<'_>,
    step: Step,
    now: UnixMs,
) -> Result<Hold, Error> {
    let Step { hold, effects } = step;
    write.put_hold(&hold).await?;
    for effect in effects {
        match effect {
            Effect::Record(record) => write.audit_hold(record, now).await?,
            Effect::Answer(answer) => write.put_answer(&hold.host, &answer).await?,
            // No new generation: the host has carried it out, and later states come without it.
            Effect::DropAnswer(id) => write.drop_answer(id).await.map(|_| ())?,
        }
    }
    Ok(hold)
}

fn unknown(id: HoldId) -> Error {
    Error::Prefix {
        kind: "hold",
        error: PrefixError::Unknown {
            prefix: id.to_string(),
        },
    }
}
