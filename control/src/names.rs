//! Users and groups as this machine's name service knows them.

use std::{ffi::OsStr, sync::Arc};

use stayhand_guardrail::id::{GroupName, UserName};

/// A name service. Calls block: it may ask a directory server.
pub trait NameService: Send + Sync + 'static {
    /// The uid of a user.
    fn uid(&self, user: &UserName) -> Option<u32>;
    /// The name of a uid.
    fn user(&self, uid: u32) -> Option<UserName>;
    /// Groups of a user, the primary one among them.
    fn groups(&self, user: &UserName) -> Vec<GroupName>;
}

/// This machine's own (nsswitch).
#[derive(Debug)]
pub struct Nss;

impl NameService for Nss {
    fn uid(&self, user: &UserName) -> Option<u32> {
        uzers::get_user_by_name(user.as_str()).map(|user| user.uid())
    }

    fn user(&self, uid: u32) -> Option<UserName> {
        uzers::get_user_by_uid(uid).and_then(|user| read(user.name()))
    }

    fn groups(&self, user: &UserName) -> Vec<GroupName> {
        let Some(found) = uzers::get_user_by_name(user.as_str()) else {
            return vec![];
        };
        let groups = uzers::get_user_groups(user.as_str(), found.primary_group_id());
        groups
            .unwrap_or_default()
            .iter()
            .filter_map(|group| read(group.name()))
            .collect()
    }
}

/// A name that no policy could hold is no name here.
fn read<T: std::str::FromStr>(name: &OsStr) -> Option<T> {
    name.to_str()?.parse().ok()
}

/// A name service that can be asked from asynchronous code.
#[derive(Clone)]
pub struct Names(Arc<dyn NameService>);

impl Names {
    /// Asks this one.
    pub fn new(service: impl NameService) -> Self {
        Self(Arc::new(service))
    }

    /// The uid of a user.
    pub async fn uid(&self, user: &UserName) -> Option<u32> {
        let user = user.clone();
        self.ask(move |service| service.uid(&user)).await
    }

    /// The name of a uid.
    pub async fn user(&self, uid: u32) -> Option<UserName> {
        self.ask(move |service| service.user(uid)).await
    }

    /// Groups of a user, the primary one among them.
    pub async fn groups(&self, user: &UserName) -> Vec<GroupName> {
        let user = user.clone();
        self.ask(move |service| service.groups(&user)).await
    }

    /// A name service that panics answers as one that knows nobody.
    async fn ask<T: Default + Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn NameService) -> T + Send + 'static,
    ) -> T {
        let service = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || ask(&*service))
            .await
            .unwrap_or_default()
    }
}
