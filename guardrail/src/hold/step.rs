//! The transitions of a hold. Total: every pair of state and fact is either a step or a typed refusal.

use super::{Approval, Cancel, Decided, Effect, Fact, Hold, HoldPhase, HoldState, Illegal, Step};
use crate::{
    approval::{Lapse, Progress, Reviewer},
    event::HoldChanged,
    host::{Answer, HoldAnswer},
    id::UserName,
    limits::REASON_BYTES_MAX,
    time::UnixMs,
};

impl Hold {
    /// Lets a fact happen.
    pub fn step(self, fact: Fact, now: UnixMs) -> Result<Step, Illegal> {
        match &self.state {
            HoldState::Pending => self.pending(fact, now),
            HoldState::Approved {
                decided,
                released: None,
            } => {
                let decided = decided.clone();
                self.approved(decided, &fact, now)
            }
            _ => Err(self.finished(&fact)),
        }
    }

    fn pending(self, fact: Fact, now: UnixMs) -> Result<Step, Illegal> {
        let lapse = self.lapse(now);
        let next = match fact {
            // What the kernel has refused by itself is not refused by a stage as well.
            Fact::Approve { .. } | Fact::Refuse { .. } | Fact::StageOver
                if now >= self.expire_time =>
            {
                return Err(Illegal::PastDeadline {
                    hold: self.id,
                    at: self.expire_time,
                });
            }
            Fact::StageOver => {
                let lapse = lapse.ok_or(Illegal::NoStageOver { hold: self.id })?;
                return Ok(self.lapsed(lapse.to_string(), now));
            }
            Fact::Lapsed { why } => return Ok(self.lapsed(why, now)),
            Fact::Approve { .. } | Fact::Refuse { .. } if let Some(lapse) = lapse => {
                return Err(Illegal::Lapsed {
                    hold: self.id,
                    why: lapse.to_string(),
                    at: lapse.at,
                });
            }
            Fact::Approve { by, reason } => return self.approve(&by, reason, now),
            Fact::Refuse { by, reason } => return self.answer(Answer::Refused, by, reason, now),
            Fact::Deadline if now < self.expire_time => {
                return Err(Illegal::NotYet {
                    hold: self.id,
                    at: self.expire_time,
                });
            }
            Fact::Deadline => HoldState::TimedOut { at: now },
            Fact::ProcessGone => HoldState::Cancelled {
                cause: Cancel::ProcessGone,
                at: now,
            },
            Fact::FatalSignal => HoldState::Cancelled {
                cause: Cancel::FatalSignal,
                at: now,
            },
            Fact::Consumed => {
                return Err(Illegal::NotApproved {
                    hold: self.id,
                    phase: HoldPhase::Pending,
                });
            }
            Fact::NeverRestarted => HoldState::Void { at: now },
        };
        Ok(self.move_on(next, vec![]))
    }

    /// Counts an approval; the last one that is needed is the answer.
    fn approve(mut self, by: &Reviewer, reason: String, now: UnixMs) -> Result<Step, Illegal> {
        if !is_reason(&reason) {
            return Err(Illegal::Reason);
        }
        let hold = self.id;
        let progress = match &mut self.approval {
            Approval::Operators => {
                return self.answer(Answer::Approved, by.user.clone(), reason, now);
            }
            Approval::Unknown => return Err(Illegal::UnknownRule { hold }),
            Approval::Plan(progress) => progress,
        };
        let whose = self.subject.user.as_ref();
        let counted = progress.approve(by, whose, &reason, now);
        if counted.map_err(|why| Illegal::NotCounted { hold, why })? {
            return self.answer(Answer::Approved, by.user.clone(), reason, now);
        }
        let record = HoldChanged {
            hold,
            from: HoldPhase::Pending,
            to: HoldPhase::Pending,
            released: false,
            by: Some(by.user.clone()),
            reason: Some(reason),
        };
        Ok(Step {
            hold: self,
            effects: vec![Effect::Record(record)],
        })
    }

    fn answer(
        self,
        answer: Answer,
        by: UserName,
        reason: String,
        now: UnixMs,
    ) -> Result<Step, Illegal> {
        if !is_reason(&reason) {
            return Err(Illegal::Reason);
        }
        let effect = Effect::Answer(HoldAnswer {
            hold: self.id,
            answer,
            by: Some(by.clone()),
            reason: reason.clone(),
        });
        let decided = Decided {
            by,
            reason,
            at: now,
        };
        let next = match answer {
            Answer::Approved => HoldState::Approved {
                decided,
                released: None,
            },
            Answer::Refused => HoldState::Refused { decided },
        };
        Ok(self.move_on(next, vec![effect]))
    }

    /// The call is refused as if somebody had refused it, and nobody did.
    fn lapsed(self, why: String, now: UnixMs) -> Step {
        let effect = Effect::Answer(HoldAnswer {
            hold: self.id,
            answer: Answer::Refused,
            by: None,
            reason: why.clone(),
        });
        self.move_on(HoldState::Lapsed { why, at: now }, vec![effect])
    }

    /// What is to be said if the stage of its approval that waits had its time at `now`.
    pub fn lapse(&self, now: UnixMs) -> Option<Lapse> {
        self.progress()?.lapse(now)
    }

    /// When that will be, if nothing happens before.
    pub fn lapse_time(&self) -> Option<UnixMs> {
        self.progress()?.deadline()
    }

    /// The approval that it waits for.
    fn progress(&self) -> Option<&Progress> {
        match (&self.state, &self.approval) {
            (HoldState::Pending, Approval::Plan(progress)) => Some(progress),
            _ => None,
        }
    }

    /// Approved, but the call has not gone on: the host may still say that the approval came too late.
    fn approved(self, decided: Decided, fact: &Fact, now: UnixMs) -> Result<Step, Illegal> {
        let next = match fact {
            Fact::Approve { .. } | Fact::Refuse { .. } | Fact::StageOver | Fact::Lapsed { .. } => {
                return Err(self.finished(fact));
            }
            Fact::Deadline if now < self.expire_time => {
                return Err(Illegal::NotYet {
                    hold: self.id,
                    at: self.expire_time,
                });
            }
            Fact::Deadline => HoldState::TimedOut { at: now },
            Fact::Consumed => HoldState::Approved {
                decided,
                released: Some(now),
            },
            Fact::ProcessGone | Fact::FatalSignal | Fact::NeverRestarted => {
                HoldState::Void { at: now }
            }
        };
        let answered = Effect::DropAnswer(self.id);
        Ok(self.move_on(next, vec![answered]))
    }

    fn move_on(mut self, next: HoldState, mut effects: Vec<Effect>) -> Step {
        let from = self.state.phase();
        let decided = next.decided();
        let record = HoldChanged {
            hold: self.id,
            from,
            to: next.phase(),
            released: next.is_released(),
            by: decided.map(|decided| decided.by.clone()),
            reason: next.why().map(str::to_owned),
        };
        self.state = next;
        // Record before privilege: the answer goes out after it is written down.
        effects.insert(0, Effect::Record(record));
        Step {
            hold: self,
            effects,
        }
    }

    /// Why nothing can happen any more.
    fn finished(&self, fact: &Fact) -> Illegal {
        let (hold, phase) = (self.id, self.state.phase());
        match &self.state {
            HoldState::Refused { .. } | HoldState::Lapsed { .. } if *fact == Fact::Consumed => {
                Illegal::NotApproved { hold, phase }
            }
            HoldState::Approved { decided, .. } | HoldState::Refused { decided } => {
                Illegal::AlreadyDecided {
                    hold,
                    phase,
                    by: decided.by.clone(),
                    at: decided.at,
                    reason: decided.reason.clone(),
                }
            }
            HoldState::Lapsed { why, at } => Illegal::Lapsed {
                hold,
                why: why.clone(),
                at: *at,
            },
            HoldState::TimedOut { at }
            | HoldState::Cancelled { at, .. }
            | HoldState::Void { at } => Illegal::Over {
                hold,
                phase,
                at: *at,
            },
            HoldState::Pending => Illegal::NotApproved { hold, phase },
        }
    }

    /// Time left, nothing if it is over.
    pub fn left(&self, now: UnixMs) -> crate::time::DurationMs {
        if self.state.is_over() {
            crate::time::DurationMs(0)
        } else {
            self.expire_time.since(now)
        }
    }
}

fn is_reason(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= REASON_BYTES_MAX
}
