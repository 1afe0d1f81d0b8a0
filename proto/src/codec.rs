//! Domain objects as bytes that last: the wire format of `stayhand.v1`, whose changes stay compatible. For
//! stores and spools, which so need no format of their own. Adds no frame and no checksum.

use prost::Message as _;
use stayhand_guardrail::{event::Event, hold::Hold, proposal::Proposal, rollout::Rollout};

use crate::{convert::Invalid, v1};

/// An event as bytes.
pub fn encode_event(event: Event) -> Vec<u8> {
    v1::Event::from(event).encode_to_vec()
}

/// Reads an event.
pub fn decode_event(bytes: &[u8]) -> Result<Event, Invalid> {
    v1::Event::decode(bytes)
        .map_err(|problem| Invalid::new("event", problem))?
        .try_into()
}

/// A hold as bytes.
pub fn encode_hold(hold: Hold) -> Vec<u8> {
    v1::Hold::from(hold).encode_to_vec()
}

/// Reads a hold.
pub fn decode_hold(bytes: &[u8]) -> Result<Hold, Invalid> {
    v1::Hold::decode(bytes)
        .map_err(|problem| Invalid::new("hold", problem))?
        .try_into()
}

/// A proposal as bytes.
pub fn encode_proposal(proposal: Proposal) -> Vec<u8> {
    v1::PolicyProposal::from(proposal).encode_to_vec()
}

/// Reads a proposal.
pub fn decode_proposal(bytes: &[u8]) -> Result<Proposal, Invalid> {
    v1::PolicyProposal::decode(bytes)
        .map_err(|problem| Invalid::new("proposal", problem))?
        .try_into()
}

/// A roll-out as bytes.
pub fn encode_rollout(rollout: Rollout) -> Vec<u8> {
    v1::PolicyRollout::from(rollout).encode_to_vec()
}

/// Reads a roll-out.
pub fn decode_rollout(bytes: &[u8]) -> Result<Rollout, Invalid> {
    v1::PolicyRollout::decode(bytes)
        .map_err(|problem| Invalid::new("rollout", problem))?
        .try_into()
}
