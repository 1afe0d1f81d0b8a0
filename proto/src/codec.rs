//! Domain objects as bytes that last: the wire format of `stayhand.v1`, whose changes stay compatible. For
//! stores and spools, which so need no format of their own. Adds no frame and no checksum.

use prost::{Message, bytes::Bytes};
use stayhand_guardrail::{event::Event, hold::Hold, proposal::Proposal, rollout::Rollout};

use crate::{convert::Invalid, limits::EVENT_BYTES_MAX, v1};

/// Events as one message.
pub fn batch<'e>(events: impl IntoIterator<Item = &'e v1::Event>) -> v1::PublishEventsRequest {
    let encoded = events.into_iter().map(Message::encode_to_vec);
    v1::PublishEventsRequest {
        events: encoded.map(Bytes::from).collect(),
    }
}

/// An event of a batch.
pub fn event_of_batch(bytes: &[u8]) -> Result<v1::Event, Invalid> {
    // Before it is read: what a small text repeats takes many times its size in memory.
    if bytes.len() > EVENT_BYTES_MAX {
        let problem = format!(
            "has {} bytes, more than the {EVENT_BYTES_MAX} of any event",
            bytes.len()
        );
        return Err(Invalid::new("event", problem));
    }
    v1::Event::decode(bytes).map_err(|problem| Invalid::new("event", problem))
}

/// Everything of an event but its content, which may be unreadable.
pub fn envelope_of_batch(bytes: &[u8]) -> Result<v1::Event, Invalid> {
    let Envelope {
        boot_id,
        epoch,
        sequence,
        time,
    } = Envelope::decode(bytes).map_err(|problem| Invalid::new("event", problem))?;
    Ok(v1::Event {
        host: String::new(),
        boot_id,
        epoch,
        sequence,
        time,
        kind: None,
    })
}

/// An event whose content is passed over unread; the numbers are those of `Event`.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(string, tag = "2")]
    boot_id: String,
    #[prost(string, tag = "3")]
    epoch: String,
    #[prost(uint64, tag = "4")]
    sequence: u64,
    #[prost(message, optional, tag = "5")]
    time: Option<prost_types::Timestamp>,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> v1::Event {
        v1::Event {
            host: "web1".into(),
            boot_id: "b".into(),
            epoch: "e".into(),
            sequence: 7,
            time: Some(prost_types::Timestamp {
                seconds: 3,
                nanos: 0,
            }),
            kind: Some(v1::event::Kind::Lost(v1::LostEvent::default())),
        }
    }

    #[test]
    fn an_event_of_a_batch_is_the_one_that_was_sent() {
        let sent = batch([&event()]);
        assert_eq!(event_of_batch(&sent.events[0]).unwrap(), event());
    }

    #[test]
    fn a_batch_is_on_the_wire_what_it_was_when_its_events_were_messages() {
        #[derive(Clone, PartialEq, Message)]
        struct Before {
            #[prost(message, repeated, tag = "1")]
            events: Vec<v1::Event>,
        }
        let (one, other) = (event(), v1::Event::default());
        let before = Before {
            events: vec![one.clone(), other.clone()],
        };
        assert_eq!(
            batch([&one, &other]).encode_to_vec(),
            before.encode_to_vec()
        );
    }

    #[test]
    fn an_event_with_unreadable_content_has_its_number_all_the_same() {
        let mut bytes = v1::Event {
            kind: None,
            ..event()
        }
        .encode_to_vec();
        // A decision (10, length-delimited) of one byte, which is the beginning of a number.
        bytes.extend([10 << 3 | 2, 1, 0x80]);
        assert!(event_of_batch(&bytes).is_err());
        let envelope = envelope_of_batch(&bytes).unwrap();
        assert_eq!((envelope.sequence, envelope.kind), (7, None));
    }

    #[test]
    fn an_event_that_no_agent_makes_so_large_is_not_read() {
        let mut bytes = event().encode_to_vec();
        // Arguments of a decision that say nothing, two bytes each.
        let content = [0x52, 0].repeat(EVENT_BYTES_MAX / 2);
        bytes.push(10 << 3 | 2);
        prost::encoding::encode_varint(content.len() as u64, &mut bytes);
        bytes.extend(content);
        let refused = event_of_batch(&bytes).unwrap_err();
        assert!(refused.problem.contains("more than the"), "{refused}");
        assert_eq!(envelope_of_batch(&bytes).unwrap().sequence, 7);
    }
}
