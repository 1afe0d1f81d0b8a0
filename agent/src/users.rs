//! Who is who on this host: users, their groups, and which subject sets follow. Asks the name service; decides
//! nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use stayhand_guardrail::{
    id::{GroupName, UserName},
    image::Image,
};
use uzers::os::unix::GroupExt as _;

/// Users that are asked for one by one: a directory service of a large company.
const USERS_MAX: usize = 200_000;
/// How long a looked-up name is used for events.
const NAME_KEPT: Duration = Duration::from_mins(1);
/// Looked-up names that are kept.
const NAMES_MAX: usize = 4_096;

/// One user of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Number
    pub uid: u32,
    /// Name; none if it is one that policies cannot write
    pub name: Option<UserName>,
    /// Groups that policies name, the primary one included
    pub groups: Vec<GroupName>,
}

/// The name service cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the name service knows no user at all; see /etc/nsswitch.conf and /etc/passwd")]
pub struct NoUsers;

/// Whatever knows users; tests bring their own.
pub trait Directory: Send {
    /// Every user, with those of their groups that are asked for. Users that are asked for by name are found even
    /// if the service does not list them.
    fn users(
        &self,
        groups: &BTreeSet<GroupName>,
        names: &BTreeSet<UserName>,
    ) -> Result<Vec<User>, NoUsers>;
}

/// Subject sets by login uid, as an image wants them, and whose uid each name is.
pub fn resolve(
    directory: &dyn Directory,
    image: &Image,
    also: impl IntoIterator<Item = UserName>,
) -> Result<Resolved, NoUsers> {
    let sets = &image.subject_sets;
    let groups = sets
        .iter()
        .flat_map(|set| set.groups.iter().cloned())
        .collect();
    let in_policies = sets
        .iter()
        .flat_map(|set| set.users.iter().chain(&set.services).cloned());
    let names: BTreeSet<UserName> = in_policies.chain(also).collect();
    let mut resolved = Resolved::default();
    for user in directory.users(&groups, &names)? {
        let bits = match &user.name {
            Some(name) => image.subject_sets_of(name, &user.groups),
            // Cannot be named by a policy, but can be in a group that is.
            None => nameless(image, &user.groups),
        };
        if bits != 0 {
            *resolved.subjects.entry(user.uid).or_default() |= bits;
        }
        if let Some(name) = user.name {
            if sets.iter().any(|set| set.services.contains(&name)) {
                if user.uid == 0 {
                    resolved.root_services.push(name.clone());
                } else {
                    resolved.services.insert(user.uid);
                }
            }
            resolved.uids.insert(name, user.uid);
        }
    }
    resolved.unknown = names
        .into_iter()
        .filter(|name| !resolved.uids.contains_key(name))
        .collect();
    Ok(resolved)
}

fn nameless(image: &Image, groups: &[GroupName]) -> u64 {
    let sets = image.subject_sets.iter().enumerate();
    let of_group = sets.filter(|(_, set)| groups.iter().any(|group| set.groups.contains(group)));
    of_group.fold(0, |bits, (bit, _)| bits | (1 << bit))
}

/// What names mean on this host now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Subject sets by login uid
    pub subjects: BTreeMap<u32, u64>,
    /// Those that are services
    pub services: BTreeSet<u32>,
    /// Names of services that root has here: every daemon, and whoever logs in through one, would be that subject
    pub root_services: Vec<UserName>,
    /// Numbers by name
    pub uids: BTreeMap<UserName, u32>,
    /// Names that nobody has
    pub unknown: Vec<UserName>,
}

/// The host's own name service.
pub struct NameService;

/// The enumeration of users has one cursor per process.
static ENUMERATION: Mutex<()> = Mutex::new(());

impl Directory for NameService {
    fn users(
        &self,
        groups: &BTreeSet<GroupName>,
        names: &BTreeSet<UserName>,
    ) -> Result<Vec<User>, NoUsers> {
        let members = Members::of(groups);
        let mut users = Vec::new();
        let mut seen = BTreeSet::new();
        for user in enumerate() {
            seen.insert(user.name().to_owned());
            users.push(members.user(&user));
        }
        if users.is_empty() {
            return Err(NoUsers);
        }
        let asked = names.iter().map(|name| name.as_str().into());
        for name in asked.chain(members.names.keys().cloned()) {
            if seen.insert(name.clone())
                && let Some(user) = uzers::get_user_by_name(&name)
            {
                users.push(members.user(&user));
            }
        }
        Ok(users)
    }
}

#[expect(unsafe_code, reason = "getpwent has one cursor per process")]
fn enumerate() -> Vec<uzers::User> {
    let _one_at_a_time = ENUMERATION.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the cursor is only used here, under the lock, and the iterator is used up before it is released.
    unsafe { uzers::all_users() }.take(USERS_MAX).collect()
}

/// Members of the groups that are asked for.
struct Members {
    names: BTreeMap<std::ffi::OsString, Vec<GroupName>>,
    primary: BTreeMap<u32, GroupName>,
}

impl Members {
    fn of(groups: &BTreeSet<GroupName>) -> Self {
        let mut members = Self {
            names: BTreeMap::new(),
            primary: BTreeMap::new(),
        };
        for name in groups {
            let Some(group) = uzers::get_group_by_name(name.as_str()) else {
                continue;
            };
            members.primary.insert(group.gid(), name.clone());
            for member in group.members() {
                members
                    .names
                    .entry(member.clone())
                    .or_default()
                    .push(name.clone());
            }
        }
        members
    }

    fn user(&self, user: &uzers::User) -> User {
        let mut groups = self.names.get(user.name()).cloned().unwrap_or_default();
        groups.extend(self.primary.get(&user.primary_group_id()).cloned());
        let name = user
            .name()
            .to_str()
            .and_then(|name| UserName::new(name).ok());
        User {
            uid: user.uid(),
            name,
            groups,
        }
    }
}

/// Names of login uids for events, remembered for a while.
#[derive(Default)]
pub struct Names {
    known: BTreeMap<u32, (Instant, Option<UserName>)>,
    /// Asked instead of the name service
    only: Option<BTreeMap<u32, UserName>>,
}

impl Names {
    /// Nobody but these, whatever the name service says.
    pub fn only(names: BTreeMap<u32, UserName>) -> Self {
        Self {
            only: Some(names),
            ..Self::default()
        }
    }

    /// The name of a login uid, if there is one that can be written.
    pub fn of(&mut self, uid: u32) -> Option<UserName> {
        if let Some(only) = &self.only {
            return only.get(&uid).cloned();
        }
        let now = Instant::now();
        if let Some((at, name)) = self.known.get(&uid)
            && now.duration_since(*at) < NAME_KEPT
        {
            return name.clone();
        }
        if self.known.len() >= NAMES_MAX {
            self.known.clear();
        }
        let found = uzers::get_user_by_uid(uid);
        let name = found.and_then(|user| UserName::new(user.name().to_str()?).ok());
        self.known.insert(uid, (now, name.clone()));
        name
    }
}

#[cfg(test)]
mod tests {
    use stayhand_guardrail::image::SubjectSet;

    use super::*;

    struct Few(Vec<User>);

    impl Directory for Few {
        fn users(
            &self,
            _: &BTreeSet<GroupName>,
            _: &BTreeSet<UserName>,
        ) -> Result<Vec<User>, NoUsers> {
            if self.0.is_empty() {
                Err(NoUsers)
            } else {
                Ok(self.0.clone())
            }
        }
    }

    fn user(uid: u32, name: Option<&str>, group: &str) -> User {
        User {
            uid,
            name: name.map(|name| name.parse().unwrap()),
            groups: vec![group.parse().unwrap()],
        }
    }

    fn image() -> Image {
        let set = |policy: &str, user: &str, group: &str| SubjectSet {
            policy: policy.parse().unwrap(),
            users: vec![user.parse().unwrap()],
            services: vec![],
            groups: vec![group.parse().unwrap()],
        };
        Image {
            subject_sets: vec![set("a", "carol", "dev"), set("b", "nobody-here", "sre")],
            ..Image::default()
        }
    }

    #[test]
    fn a_service_is_its_user_and_never_root() {
        let runner = |uid| {
            Few(vec![
                user(uid, Some("runner"), "none"),
                user(7, Some("carol"), "none"),
            ])
        };
        let mut image = image();
        image.subject_sets[1].services = vec!["runner".parse().unwrap()];
        let found = resolve(&runner(900), &image, []).unwrap();
        assert_eq!(found.services, [900].into());
        assert_eq!(found.subjects, [(900, 0b10), (7, 0b01)].into());
        let root = resolve(&runner(0), &image, []).unwrap();
        assert!(root.services.is_empty());
        assert_eq!(root.root_services, ["runner".parse().unwrap()]);
    }

    #[test]
    fn a_name_service_that_knows_nobody_is_an_error_and_not_an_empty_host() {
        assert!(resolve(&Few(vec![]), &image(), []).is_err());
    }

    #[test]
    fn a_user_whose_name_no_policy_can_write_is_guarded_by_the_group() {
        let found = resolve(&Few(vec![user(7, None, "sre")]), &image(), []).unwrap();
        assert_eq!(found.subjects, BTreeMap::from([(7, 0b10)]));
    }

    #[test]
    fn users_and_groups_add_up_and_two_names_of_one_uid_share_their_sets() {
        let all = [
            user(5, Some("carol"), "x"),
            user(5, Some("carol2"), "sre"),
            user(6, Some("dave"), "x"),
        ];
        let found = resolve(&Few(all.to_vec()), &image(), ["erin".parse().unwrap()]).unwrap();
        assert_eq!(found.subjects, BTreeMap::from([(5, 0b11)]));
        let unknown: Vec<_> = found.unknown.iter().map(UserName::as_str).collect();
        assert_eq!(unknown, ["erin", "nobody-here"]);
    }

    #[test]
    fn this_hosts_root_is_found_with_its_primary_group() {
        let group = uzers::get_group_by_gid(0).unwrap();
        let group: GroupName = group.name().to_str().unwrap().parse().unwrap();
        let users = NameService
            .users(&BTreeSet::from([group.clone()]), &BTreeSet::new())
            .unwrap();
        let root = users.iter().find(|user| user.uid == 0).unwrap();
        assert!(root.groups.contains(&group), "{root:?}");
        assert_eq!(Names::default().of(0).unwrap().as_str(), "root");
    }
}
