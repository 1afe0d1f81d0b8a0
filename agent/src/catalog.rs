//! What the numbers in kernel records mean: rules and permissions of the images that were installed lately, and who
//! is guarded by the newest one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, PoisonError, RwLock},
};

use stayhand_guardrail::{
    id::Generation,
    image::{Image, RuleInfo},
    key::PermissionRef,
};

/// Images that are remembered: records wait in the rings for seconds at most.
const REMEMBERED_MAX: usize = 8;

/// Shared by whoever makes records readable. Written before an image becomes active.
#[derive(Clone, Default)]
pub struct Catalog {
    inner: Arc<RwLock<Inner>>,
}

#[derive(Default)]
struct Inner {
    images: VecDeque<(Generation, Arc<Image>)>,
    subjects: BTreeMap<u32, u64>,
}

impl Catalog {
    /// Remembers an image that is about to become active.
    pub fn announce(&self, generation: Generation, image: &Arc<Image>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.images.push_front((generation, Arc::clone(image)));
        inner.images.truncate(REMEMBERED_MAX);
    }

    /// Notes whom the active image guards.
    pub fn guard(&self, subjects: BTreeMap<u32, u64>) {
        self.inner
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .subjects = subjects;
    }

    /// Whether a policy guards a login uid.
    pub fn is_guarded(&self, auid: u32) -> bool {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.subjects.get(&auid).is_some_and(|sets| *sets != 0)
    }

    /// What a rule was in that generation; in any, if that one is forgotten.
    pub fn rule(&self, generation: Generation, raw: u64) -> Option<RuleInfo> {
        self.find(generation, |image| image.rule(raw).cloned())
    }

    /// What a permission was.
    pub fn permission(&self, generation: Generation, raw: u64) -> Option<PermissionRef> {
        self.find(generation, |image| image.permission(raw).cloned())
    }

    fn find<T>(&self, generation: Generation, look: impl Fn(&Image) -> Option<T>) -> Option<T> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let exact = inner
            .images
            .iter()
            .filter(|(known, _)| *known == generation);
        let found = exact.into_iter().find_map(|(_, image)| look(image));
        found.or_else(|| inner.images.iter().find_map(|(_, image)| look(image)))
    }
}

#[cfg(test)]
mod tests {
    use stayhand_guardrail::{id::Revision, key::RuleKey, reason::Effect, time::DurationMs};

    use super::*;

    fn image(revision: u64) -> (u64, Arc<Image>) {
        let (policy, rule) = ("p".parse().unwrap(), "r".parse().unwrap());
        let key = RuleKey::of(&policy, &rule);
        let info = RuleInfo {
            policy,
            rule,
            revision: Revision(revision),
            effect: Effect::Deny,
            message: None,
            permission: None,
            timeout: DurationMs(0),
            approval: None,
            sensitivity: None,
            rate: None,
            monitor: false,
            when: None,
        };
        (
            key.get(),
            Arc::new(Image {
                rules: [(key, info)].into(),
                ..Image::default()
            }),
        )
    }

    #[test]
    fn a_record_is_read_with_the_image_that_decided() {
        let catalog = Catalog::default();
        assert!(catalog.rule(Generation(1), 5).is_none());
        for revision in 1..=3 {
            catalog.announce(Generation(revision * 10), &image(revision).1);
        }
        let key = image(1).0;
        let revision = |generation| catalog.rule(Generation(generation), key).unwrap().revision;
        assert_eq!((revision(10), revision(20)), (Revision(1), Revision(2)));
        assert_eq!(revision(99), Revision(3), "unknown: the newest is nearest");
        assert!(catalog.rule(Generation(10), key ^ 1).is_none());
    }

    #[test]
    fn nobody_is_guarded_before_somebody_says_so() {
        let catalog = Catalog::default();
        assert!(!catalog.is_guarded(1001));
        catalog.guard([(1001, 1), (1002, 0)].into());
        assert!(catalog.is_guarded(1001) && !catalog.is_guarded(1002));
    }
}
