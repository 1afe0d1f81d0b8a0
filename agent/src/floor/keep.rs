//! The last good floor, in the journal.

use super::{Floor, FloorError, Source};
use crate::{
    exit::{Code, Failure, chain},
    spool::{Key, Spool},
};

/// The floor that counts, and what is wrong if it is not the one that was just read. Without a last good one a wrong
/// floor keeps the agent from starting.
pub fn settle(
    found: Result<Floor, FloorError>,
    spool: &Spool,
) -> Result<(Floor, Option<String>), Failure> {
    let error = match found {
        Ok(floor) => {
            keep(&floor, spool);
            return Ok((floor, None));
        }
        Err(error) => chain(&error),
    };
    match kept(spool) {
        Some(floor) => {
            let said =
                format!("the floor is not enforced as it is written, but as it was last: {error}");
            Ok((floor, Some(said)))
        }
        None => Err(Failure::new(Code::Config, format!("the floor: {error}"))),
    }
}

fn keep(floor: &Floor, spool: &Spool) {
    let stored = serde_json::to_vec(&floor.sources)
        .map_err(|error| error.to_string())
        .and_then(|bytes| {
            let documents = [(Key::Floor, bytes)];
            spool
                .put_documents(&documents)
                .map_err(|error| chain(&error))
        });
    if let Err(error) = stored {
        tracing::warn!(
            error,
            "the floor is enforced and not kept for the next start"
        );
    }
}

fn kept(spool: &Spool) -> Option<Floor> {
    let bytes = spool.document(Key::Floor).ok()??;
    let sources: Vec<Source> = serde_json::from_slice(&bytes).ok()?;
    Floor::parse(sources).ok()
}
