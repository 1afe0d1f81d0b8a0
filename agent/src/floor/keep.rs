//! The last good floor, in the journal.

use super::{Floor, FloorError, Source};
use crate::{
    exit::{Code, Failure, chain},
    spool::{Key, Spool},
};

/// The floor that counts, and what is wrong if it is not the one that was just read. `found` is none where there is no
/// directory: that takes no floor away, an empty directory does. Where there never was a good one, a wrong floor keeps an agent
/// from starting that has nothing else to enforce; one that has goes on with that, and says what is missing.
pub fn settle(
    found: Result<Option<Floor>, FloorError>,
    spool: &Spool,
) -> Result<(Floor, Option<String>), Failure> {
    let kept = kept(spool);
    let why = match found {
        Ok(Some(floor)) => {
            keep(&floor, spool);
            return Ok((floor, None));
        }
        Ok(None) if kept.as_ref().is_none_or(Floor::is_empty) => return Ok(Default::default()),
        Ok(None) => "its directory is gone; to take the floor away, leave an empty one".to_owned(),
        Err(error) => chain(&error),
    };
    match kept {
        Some(floor) => {
            let said =
                format!("the floor is enforced as it was last, and not as it is written: {why}");
            Ok((floor, Some(said)))
        }
        None if spool
            .document(Key::State)
            .is_ok_and(|state| state.is_some()) =>
        {
            Ok((
                Floor::default(),
                Some(format!("the floor is NOT ENFORCED: {why}")),
            ))
        }
        None => Err(Failure::new(Code::Config, format!("the floor: {why}"))),
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
