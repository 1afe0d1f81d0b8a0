//! The real kernel behind the agent's narrow traits. Translates, and nothing else.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use stayhand_agent_ebpf::abi::hold::HoldKey;
use stayhand_guardrail::time::DurationMs;

use crate::{
    clock::Now,
    kernel::{
        Kernel,
        counters::{CounterMap as RealCounters, Counters},
        freshness::Proofs,
        holds::{Holds, KernelAnswer, Pending},
        image::{Active, Desired, InstallReport, Installer, Relabelled},
        pidfd::PidFd,
        pulse::Pulse,
        record::RawRecord,
        rings::Records,
        scan,
        task_storage::{TaskPin, Tasks},
    },
    port::{CounterMap, HoldMaps, Pinned, Pins, PortError},
    reconcile::Images,
    record::Source,
};

/// The pinned maps of the running hooks.
pub struct KernelMaps {
    tasks: Tasks,
    holds: Mutex<Holds>,
    counters: RealCounters,
    pulse: Mutex<Pulse>,
    proofs: Mutex<Proofs>,
}

impl KernelMaps {
    /// Opens them.
    pub fn open(kernel: &Kernel) -> Result<Self, PortError> {
        Ok(Self {
            tasks: kernel.tasks()?,
            holds: Mutex::new(kernel.holds()?),
            counters: kernel.counters()?,
            pulse: Mutex::new(kernel.pulse()?),
            proofs: Mutex::new(kernel.proofs()?),
        })
    }

    /// Pins whatever runs as one of these users and is nobody's yet.
    pub fn serve(&self, services: &BTreeSet<u32>) -> Result<(), PortError> {
        let report = scan::serve(&self.tasks, services)?;
        tracing::info!(%report, "processes of services were looked at");
        if report.failed > 0 {
            let failed = report.failed;
            return Err(format!(
                "{failed} processes could not be looked at and may run as a service that is not guarded: restart what runs as one"
            )
            .into());
        }
        Ok(())
    }

    /// Says to the kernel that the agent goes on.
    pub fn speak(&self, boot_ns: u64) -> Result<(), PortError> {
        Ok(self.pulse().speak(boot_ns)?)
    }

    /// Says to the kernel that the agent ends; the last word.
    pub fn end(&self) -> Result<(), PortError> {
        Ok(self.pulse().end()?)
    }

    /// When this host last had the newest state, as the kernel was told on this boot; none for never.
    pub fn proven(&self, now: &Now) -> Result<Option<Now>, PortError> {
        let [boot_ns, tai_ns] = self.proofs().last()?;
        let unix = now.unix_of_boot(boot_ns);
        let moment = Now {
            boot_ns,
            tai_ns,
            unix,
        };
        Ok((boot_ns != 0).then_some(moment))
    }

    /// For how long the kernel lets leases count after that; none where each counts until its own end.
    pub fn fresh_for(&self) -> Result<Option<DurationMs>, PortError> {
        Ok(self.proofs().fresh_for()?)
    }

    /// Says to the kernel that this host had the newest state at this moment.
    pub fn prove(&self, at: &Now) -> Result<(), PortError> {
        Ok(self.proofs().prove(at)?)
    }

    fn proofs(&self) -> MutexGuard<'_, Proofs> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pins for KernelMaps {
    fn pinned(&self, process: &PidFd) -> Result<Option<Pinned>, PortError> {
        let found = self.tasks.get(process)?.filter(TaskPin::is_person);
        Ok(found.map(|pin| Pinned {
            auid: pin.auid,
            session: pin.session,
            process_cookie: pin.process_cookie,
        }))
    }
}

impl HoldMaps for KernelMaps {
    fn list(&self) -> Result<Vec<Pending>, PortError> {
        Ok(self.holds().list()?)
    }
    fn get(&self, key: &HoldKey) -> Result<Option<Pending>, PortError> {
        Ok(self.holds().get(key)?)
    }
    fn answer(&self, key: &HoldKey, hold: u64, answer: KernelAnswer) -> Result<bool, PortError> {
        Ok(self.holds().answer(key, hold, answer)?)
    }
    fn remove(&self, pending: &Pending) -> Result<bool, PortError> {
        Ok(self.holds().remove(pending)?)
    }
    fn recount(&self) -> Result<(), PortError> {
        for auid in self.holds().recount()? {
            tracing::info!(auid, "the count of pending holds was mended");
        }
        Ok(())
    }
}

impl CounterMap for KernelMaps {
    fn counters(&self) -> Result<Counters, PortError> {
        Ok(self.counters.read()?)
    }
}

impl Images for Installer {
    fn active(&self) -> Result<Option<Active>, PortError> {
        Ok(Self::active(self)?)
    }
    fn install(&mut self, desired: Desired) -> Result<InstallReport, PortError> {
        Ok(Self::install(self, desired)?)
    }
    fn relabel(&mut self) -> Result<Relabelled, PortError> {
        Ok(Self::relabel(self)?)
    }
    fn concerns(&self) -> Vec<String> {
        Self::concerns(self)
    }
    fn verify(&self) -> Result<(), PortError> {
        Ok(Self::verify(self)?)
    }
}

impl Source for Records {
    async fn next(&mut self) -> Option<RawRecord> {
        Self::next(self).await
    }
    fn malformed(&self) -> [u64; 3] {
        self.stats().malformed()
    }
}
