//! The pure core of Stayhand: everything that can be decided without doing anything.
//!
//! No input or output, no clock, no randomness: time and ids are arguments, effects are returned as data. No
//! wire type, no kernel access, no database. What is here is what the tests can prove by themselves.
//!
//! # Words
//!
//! One spelling per idea, everywhere: policies, Rust, protocol, command line, events.
//!
//! | word | meaning | here |
//! |---|---|---|
//! | Subject | who acts: a person by login uid, pinned at first sight and inherited at fork | [`subject`] |
//! | Session | one login: the kernel's audit session id on one boot of one host | [`subject::Subject::session`] |
//! | Action | one attempt: class (`exec` `file` `net`), operation, object, subject, time | [`action`] |
//! | Rule, Policy, Revision | a rule maps actions to an effect; a policy holds rules and permissions; each accepted version is an immutable revision | [`policy`] |
//! | Test | what a policy is to do, as an example in its own document | [`policy::case`] |
//! | Generation | the number of one desired host state as sent to a host | [`host`] |
//! | Effect | `deny` · `require-grant` · `hold` · `alert` · `allow` | [`reason::Effect`] |
//! | Sensitivity | how much depends on what a rule is about: `low` · `medium` · `high` · `critical`; changes no verdict | [`sensitivity::Sensitivity`] |
//! | Permission | a set of actions named in a policy independently of rule ids | [`key::PermissionRef`] |
//! | Grant | a time-boxed permission that an operator issues | [`grant`] |
//! | Lease | what a host knows of a grant: subject, permissions, deadlines | [`host::Lease`] |
//! | Lock | nothing that was given counts for a user, on a host, or both | [`lock::Lock`] |
//! | Roll-out | a revision on its way to every host: `monitor` → `canary` → `done`, `stopped` from either | [`rollout`] |
//! | Hold | one paused action: `pending` → `approved` · `refused` · `timed-out` · `cancelled` · `void` | [`hold`] |
//! | Recorded decision | a decision that yields an event | [`event::DecisionEvent`] |
//!
//! # Ways through it
//!
//! Policy text to kernel rows: [`policy::parse()`] → [`policy::compile()`] → [`image::Image`], which the agent labels
//! and installs. What a policy means is said by [`policy::explain`], and tests hold the compiled image against it.
//!
//! Kernel record to SIEM line: the agent decodes and enriches a record into an [`event::Event`], hides arguments with
//! [`redact`], tells the person with [`message`], and [`event::ocsf`] encodes it.
//!
//! Operator's word to kernel: [`grant::Grant::step`] or [`hold::Hold::step`] → effects → [`host::HostState`],
//! which the host's agent compares with what it has, journals and installs.
//!
//! Rules *deny*, people *refuse*, time *times out*: three words, three outcomes, never mixed.

pub mod action;
pub mod approval;
pub mod event;
pub mod grant;
pub mod hold;
pub mod host;
pub mod id;
pub mod image;
pub mod key;
pub mod limits;
pub mod lock;
pub mod message;
pub mod policy;
pub mod prefix;
pub mod proposal;
pub mod reason;
pub mod redact;
pub mod resource;
pub mod rollout;
#[cfg(test)]
mod seeded;
pub mod sensitivity;
pub mod subject;
pub mod text;
pub mod time;
pub mod values;
