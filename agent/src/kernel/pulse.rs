//! The agent's word to the kernel that all of it goes on: a rule may say that nothing waits for an agent that is gone. Says
//! when it spoke, and never whether that is long ago.

use stayhand_agent_ebpf::abi::image::ACTIVE_AGENT;

use super::{
    pins::Pins,
    table::{Slots, Table, TableError},
};

/// Speaks until it has ended.
pub struct Pulse {
    active: Box<dyn Table<u32, u64> + Send>,
    ended: bool,
}

impl Pulse {
    /// Of the hooks that are pinned there.
    pub fn open(pins: &Pins) -> Result<Self, TableError> {
        Ok(Self {
            active: Box::new(Slots::open(pins, "ACTIVE")?),
            ended: false,
        })
    }

    /// Says that the agent goes on at this moment of `CLOCK_BOOTTIME`.
    pub fn speak(&mut self, boot_ns: u64) -> Result<(), TableError> {
        if self.ended {
            return Ok(());
        }
        self.active.put(&ACTIVE_AGENT, &boot_ns)
    }

    /// Says that it ends: the kernel need not wait until it is silent for long enough. Nothing is said after it.
    pub fn end(&mut self) -> Result<(), TableError> {
        self.ended = true;
        self.active.put(&ACTIVE_AGENT, &0)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::table::fake::Fake, *};

    #[test]
    fn nothing_is_said_after_the_end() {
        let mut pulse = Pulse {
            active: Box::new(Fake::new("ACTIVE", 5)),
            ended: false,
        };
        let said = |pulse: &Pulse| pulse.active.get(&ACTIVE_AGENT).unwrap();
        pulse.speak(7).unwrap();
        assert_eq!(said(&pulse), Some(7));
        pulse.end().unwrap();
        pulse.speak(8).unwrap();
        assert_eq!(said(&pulse), Some(0));
    }
}
