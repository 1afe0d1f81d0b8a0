//! Users and groups as this machine's name service knows them. One that cannot be asked is told from one that knows nobody: whoever
//! asks whether somebody is guarded refuses rather than guesses.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    unistd::{Gid, Group, Uid, User, getgrouplist},
};
use stayhand_guardrail::{
    id::{GroupName, UserName},
    policy::Subjects,
};

/// How long it is remembered which uid a name of a policy has: they are asked for with every call, and a directory service takes its
/// time for each that it does not know.
const UID_KEPT: Duration = Duration::from_mins(1);
/// Names of which that is remembered; beyond that all are asked for anew.
const UIDS_MAX: usize = 4_096;

/// A name service that cannot be asked. What it would have said nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine's name service cannot be asked about {about}: {cause}; try again")]
pub struct NamesError {
    /// About whom or what
    pub about: String,
    /// What is wrong
    pub cause: String,
}

/// A name service. Calls block: it may ask a directory server.
pub trait NameService: Send + Sync + 'static {
    /// The uid of a user; none where nobody has the name.
    fn uid(&self, user: &UserName) -> Result<Option<u32>, NamesError>;
    /// The name of a uid; none where nobody has it.
    fn user(&self, uid: u32) -> Result<Option<UserName>, NamesError>;
    /// Groups of a user, the primary one among them; none where nobody has the name.
    fn groups(&self, user: &UserName) -> Result<Vec<GroupName>, NamesError>;
    /// Whether it can tell at the moment who is in a group, or that there is no such group.
    fn tells(&self, group: &GroupName) -> Result<(), NamesError>;
}

/// This machine's own (nsswitch).
#[derive(Debug)]
pub struct Nss;

impl NameService for Nss {
    fn uid(&self, user: &UserName) -> Result<Option<u32>, NamesError> {
        Ok(by_name(user)?.map(|user| user.uid.as_raw()))
    }

    fn user(&self, uid: u32) -> Result<Option<UserName>, NamesError> {
        let found = User::from_uid(Uid::from_raw(uid));
        let found = found.map_err(|errno| failed(format!("uid {uid}"), errno))?;
        Ok(found.and_then(|user| read(&user.name)))
    }

    fn groups(&self, user: &UserName) -> Result<Vec<GroupName>, NamesError> {
        let Some(found) = by_name(user)? else {
            return Ok(vec![]);
        };
        let about = || format!("the groups of `{user}`");
        let name = CString::new(user.as_str()).map_err(|_| failed(about(), Errno::EINVAL))?;
        // It passes over a source of groups that fails, and says nothing of it: `tells` finds that out.
        let gids = getgrouplist(&name, found.gid).map_err(|errno| failed(about(), errno))?;
        let mut groups = vec![];
        for gid in gids {
            groups.extend(group(gid).map_err(|errno| failed(about(), errno))?);
        }
        Ok(groups)
    }

    fn tells(&self, group: &GroupName) -> Result<(), NamesError> {
        match Group::from_name(group.as_str()) {
            // One that is too large to be read is there.
            Ok(_) | Err(Errno::ERANGE) => Ok(()),
            Err(errno) => Err(failed(format!("group `{group}`"), errno)),
        }
    }
}

/// The C library returns 0 where no source has the name, and an error only where one could not be asked.
fn by_name(user: &UserName) -> Result<Option<User>, NamesError> {
    User::from_name(user.as_str()).map_err(|errno| failed(format!("user `{user}`"), errno))
}

fn group(gid: Gid) -> Result<Option<GroupName>, Errno> {
    match Group::from_gid(gid) {
        Ok(found) => Ok(found.and_then(|group| read(&group.name))),
        // More members than are read here: of those only the name matters.
        Err(Errno::ERANGE) => {
            let found = uzers::get_group_by_gid(gid.as_raw()).ok_or(Errno::ERANGE)?;
            Ok(found.name().to_str().and_then(read))
        }
        Err(errno) => Err(errno),
    }
}

fn failed(about: String, errno: Errno) -> NamesError {
    NamesError {
        about,
        cause: errno.to_string(),
    }
}

/// A name that no policy could hold is no name here.
fn read<T: std::str::FromStr>(name: &str) -> Option<T> {
    name.parse().ok()
}

/// Somebody with everything by which policies may mean them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their uid; none where the name service knows nobody of that name
    pub uid: Option<u32>,
    /// The name that was asked for, and the one that the name service itself uses for that uid
    pub names: Vec<UserName>,
    /// Groups of both
    pub groups: Vec<GroupName>,
}

impl Person {
    /// Whether a policy with these subjects means them, under one name or another.
    pub fn is_among(&self, subjects: &Subjects) -> bool {
        let mut names = self.names.iter();
        names.any(|name| subjects.include(name, &self.groups))
    }

    /// The name that the name service itself uses.
    pub fn name(&self) -> Option<&UserName> {
        self.uid.and(self.names.last())
    }
}

type Uids = Mutex<BTreeMap<UserName, (Option<u32>, Instant)>>;

/// A name service that can be asked from asynchronous code.
#[derive(Clone)]
pub struct Names {
    service: Arc<dyn NameService>,
    uids: Arc<Uids>,
}

impl Names {
    /// Asks this one.
    pub fn new(service: impl NameService) -> Self {
        Self {
            service: Arc::new(service),
            uids: Arc::default(),
        }
    }

    /// The uid of a user.
    pub async fn uid(&self, user: &UserName) -> Result<Option<u32>, NamesError> {
        let user = user.clone();
        self.ask(move |service| service.uid(&user)).await
    }

    /// The name of a uid.
    pub async fn user(&self, uid: u32) -> Result<Option<UserName>, NamesError> {
        self.ask(move |service| service.user(uid)).await
    }

    /// Groups of a user, the primary one among them.
    pub async fn groups(&self, user: &UserName) -> Result<Vec<GroupName>, NamesError> {
        let user = user.clone();
        self.ask(move |service| service.groups(&user)).await
    }

    /// Somebody under every name that can be told from the one that is asked for.
    pub async fn person(&self, user: &UserName) -> Result<Person, NamesError> {
        let user = user.clone();
        self.ask(move |service| person(service, user)).await
    }

    /// Whether one of these names is another name of this uid. Fails where none is that could be asked about, and others could not.
    pub async fn have(&self, names: Vec<UserName>, uid: u32) -> Result<bool, NamesError> {
        let uids = Arc::clone(&self.uids);
        self.ask(move |service| {
            let mut failed = None;
            for name in &names {
                match remembered(&uids, service, name) {
                    Ok(found) if found == Some(uid) => return Ok(true),
                    Ok(_) => {}
                    Err(error) => failed = Some(error),
                }
            }
            failed.map_or(Ok(false), Err)
        })
        .await
    }

    /// Whether it can tell at the moment who is in each of these groups.
    pub async fn tells(&self, groups: BTreeSet<GroupName>) -> Result<(), NamesError> {
        self.ask(move |service| groups.iter().try_for_each(|group| service.tells(group)))
            .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn NameService) -> Result<T, NamesError> + Send + 'static,
    ) -> Result<T, NamesError> {
        let service = Arc::clone(&self.service);
        let asked = tokio::task::spawn_blocking(move || ask(&*service)).await;
        asked.unwrap_or_else(|_| {
            Err(NamesError {
                about: "anybody".to_owned(),
                cause: "asking it broke off".to_owned(),
            })
        })
    }
}

fn person(service: &dyn NameService, user: UserName) -> Result<Person, NamesError> {
    let uid = service.uid(&user)?;
    let mut groups = service.groups(&user)?;
    let mut names = vec![user];
    let own = uid.map(|uid| service.user(uid)).transpose()?.flatten();
    if let Some(own) = own.filter(|own| !names.contains(own)) {
        groups.extend(service.groups(&own)?);
        names.push(own);
    }
    Ok(Person { uid, names, groups })
}

fn remembered(
    uids: &Uids,
    service: &dyn NameService,
    name: &UserName,
) -> Result<Option<u32>, NamesError> {
    let known = {
        let uids = uids.lock().unwrap_or_else(PoisonError::into_inner);
        uids.get(name).copied()
    };
    if let Some((uid, at)) = known
        && at.elapsed() < UID_KEPT
    {
        return Ok(uid);
    }
    let uid = service.uid(name)?;
    let mut uids = uids.lock().unwrap_or_else(PoisonError::into_inner);
    if uids.len() >= UIDS_MAX {
        uids.clear();
    }
    uids.insert(name.clone(), (uid, Instant::now()));
    Ok(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    #[test]
    fn whom_nobody_knows_is_no_failure_of_the_name_service() {
        let nobody = user("nobody-has-this-name");
        assert_eq!(Nss.uid(&nobody), Ok(None));
        assert_eq!(Nss.groups(&nobody), Ok(vec![]));
        assert_eq!(Nss.tells(&"no-group-has-this".parse().unwrap()), Ok(()));
        assert_eq!(Nss.user(u32::MAX - 17), Ok(None));
    }

    #[test]
    fn this_machines_root_is_in_its_group() {
        let root = user("root");
        assert_eq!(
            (Nss.uid(&root), Nss.user(0)),
            (Ok(Some(0)), Ok(Some(root.clone())))
        );
        assert!(
            Nss.groups(&root)
                .unwrap()
                .contains(&"root".parse().unwrap())
        );
    }

    /// Two names of one uid.
    struct Two;

    impl NameService for Two {
        fn uid(&self, user: &UserName) -> Result<Option<u32>, NamesError> {
            Ok(user.as_str().starts_with("carol").then_some(7))
        }

        fn user(&self, uid: u32) -> Result<Option<UserName>, NamesError> {
            Ok((uid == 7).then(|| user("carol")))
        }

        fn groups(&self, user: &UserName) -> Result<Vec<GroupName>, NamesError> {
            Ok(vec![format!("of-{user}").parse().unwrap()])
        }

        fn tells(&self, _: &GroupName) -> Result<(), NamesError> {
            panic!("a name service of which something is wrong")
        }
    }

    #[tokio::test]
    async fn somebody_with_two_names_is_one_person_under_both() {
        let names = Names::new(Two);
        let person = names.person(&user("carol2")).await.unwrap();
        assert_eq!(person.names, [user("carol2"), user("carol")]);
        assert_eq!(person.name(), Some(&user("carol")));
        assert_eq!(person.groups.len(), 2);
        let bob_and = |name: &str| vec![user("bob"), user(name)];
        assert_eq!(names.have(bob_and("carol3"), 7).await, Ok(true));
        assert_eq!(names.have(bob_and("dave"), 7).await, Ok(false));
        assert_eq!(names.person(&user("bob")).await.unwrap().name(), None);
    }

    #[tokio::test]
    async fn a_name_service_that_breaks_off_is_one_that_cannot_be_asked() {
        let group = "dev".parse().unwrap();
        let told = Names::new(Two).tells(BTreeSet::from([group])).await;
        assert!(told.unwrap_err().to_string().contains("broke off"));
    }
}
