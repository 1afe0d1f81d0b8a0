//! All hosts: joined with bounded haste, then alive until dropped.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use stayhand_guardrail::id::Generation;
use stayhand_transport::Dialling;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    board::Board, host::Host, join::join, operator::Operator, progress::Progress, server::Server,
};

/// Hosts that join at once: enough that the control plane is never idle, and fewer than it takes.
const JOINING: usize = 32;

/// Hosts that joined, and what they do.
pub(crate) struct Fleet {
    pub(crate) board: Arc<Board>,
    joined: Vec<Dialling>,
    alive: JoinSet<()>,
}

impl Fleet {
    /// Lets hosts join.
    pub(crate) async fn join(
        server: &Server,
        operator: &Operator,
        hosts: u32,
        progress: &mut Progress,
    ) -> Result<Self> {
        let mut joined = Vec::new();
        let tokens = operator.tokens(hosts).await?;
        let each = tokens.iter().flat_map(|(token, uses)| {
            std::iter::repeat_n(token, usize::try_from(*uses).unwrap_or(0))
        });
        let joining = (0..hosts).zip(each).map(|(index, token)| async move {
            let joined = join(index, server.address(), token).await;
            joined.with_context(|| format!("host {index} cannot join"))
        });
        let mut joining = stream::iter(joining).buffered(JOINING);
        while let Some(one) = joining.try_next().await? {
            joined.push(one);
            progress.so_far("joined", joined.len());
        }
        Ok(Self {
            board: Arc::new(Board::new(hosts)),
            joined,
            alive: JoinSet::new(),
        })
    }

    /// Lets all of them connect at once.
    pub(crate) fn connect(&mut self, control: &str) {
        let control: Arc<str> = control.into();
        for (index, dialling) in self.joined.drain(..).enumerate() {
            let host = Host {
                index,
                control: Arc::clone(&control),
                dialling,
                board: Arc::clone(&self.board),
                boot_id: Uuid::new_v4(),
                generation: Generation(0),
            };
            self.alive.spawn(host.live());
        }
    }
}
