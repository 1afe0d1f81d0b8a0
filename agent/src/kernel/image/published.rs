//! The images that the kernel may ask about, by what `ACTIVE` says while one is the active one: two can be judged by at
//! one time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stayhand_agent_ebpf::abi::image::ACTIVE_SLOT_MASK;
use stayhand_guardrail::image::Image;

/// By slot.
type Slots = [Option<(u64, Arc<Image>)>; 2];

/// See the module.
#[derive(Debug, Default)]
pub struct Published {
    slots: Mutex<Slots>,
}

impl Published {
    /// To be called before an image becomes the active one.
    pub fn publish(&self, active: u64, image: &Arc<Image>) {
        let mut slots = self.lock();
        if let Some(slot) = slots.get_mut(usize::from(active & ACTIVE_SLOT_MASK != 0)) {
            *slot = Some((active, Arc::clone(image)));
        }
    }

    /// An image; none if it is not there any more, or not yet since this agent started.
    pub fn of(&self, active: u64) -> Option<Arc<Image>> {
        let slots = self.lock();
        let mut known = slots.iter().flatten();
        let (_, image) = known.find(|(of, _)| *of == active)?;
        Some(Arc::clone(image))
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
