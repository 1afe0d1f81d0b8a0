//! Places for connections and streams, in all and for each of those who take them, so that nobody uses them up for the others.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

/// Bounded places; `K` is who takes them.
#[derive(Clone, Debug)]
pub(crate) struct Places<K> {
    taken: Arc<Mutex<Taken<K>>>,
    each_max: usize,
    all_max: usize,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    by: BTreeMap<K, usize>,
}

/// One place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Ord> {
    taken: Arc<Mutex<Taken<K>>>,
    who: K,
}

/// Anybody's place.
pub(crate) trait Held: Send + Sync + Debug {}

impl<K: Ord + Send + Sync + Debug> Held for Place<K> {}

impl<K: Ord + Clone> Places<K> {
    pub(crate) fn new(each_max: usize, all_max: usize) -> Self {
        let taken = Taken {
            all: 0,
            by: BTreeMap::new(),
        };
        Self {
            taken: Arc::new(Mutex::new(taken)),
            each_max,
            all_max,
        }
    }

    /// A place, if there is one.
    pub(crate) fn take(&self, who: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by.get(&who).copied().unwrap_or_default();
        if own >= self.each_max || taken.all >= self.all_max {
            return None;
        }
        taken.all += 1;
        taken.by.insert(who.clone(), own + 1);
        Some(Place {
            taken: Arc::clone(&self.taken),
            who,
        })
    }
}

impl<K: Ord> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! One user cannot use up the places of all.

    use super::*;

    #[test]
    fn one_user_leaves_room_for_others() {
        let places = Places::new(3, 5);
        let mut own: Vec<_> = (0..3).filter_map(|_| places.take(1000)).collect();
        assert_eq!(own.len(), 3);
        assert!(places.take(1000).is_none());
        assert!(places.take(0).is_some());
        own.pop();
        assert!(
            places.take(1000).is_some(),
            "a place that is given back is free"
        );
    }

    #[test]
    fn all_together_take_no_more_than_there_are() {
        let places = Places::new(3, 5);
        let taken: Vec<_> = (0..10).filter_map(|who| places.take(who)).collect();
        assert_eq!(taken.len(), 5);
        drop(taken);
        assert!(places.take(0).is_some());
    }
}
