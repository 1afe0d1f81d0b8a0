//! Stands in for the one writer of images: what an agent gives it is the live image at once, or never.

use std::sync::Arc;

use stayhand_agent::{
    kernel::image::{Active, Desired, InstallReport, Relabelled},
    port::PortError,
    reconcile::Images,
};
use stayhand_guardrail::image::schedules::Wall;

use crate::{
    kernel::{Installed, Machine},
    life::Life,
    mutant::Mutant,
};

/// The writer of images of one agent.
pub(crate) struct Writer {
    pub(crate) machine: Machine,
    pub(crate) life: Life,
}

const ENDED: &str = "the process has ended";

impl Images for Writer {
    fn active(&self) -> Result<Option<Active>, PortError> {
        let kernel = self.machine.kernel();
        Ok(kernel.installed.as_ref().map(|one| Active {
            generation: one.desired.generation,
            slot: 0,
        }))
    }

    fn install(&mut self, mut desired: Desired) -> Result<InstallReport, PortError> {
        if !self.life.goes_on() {
            return Err(ENDED.into());
        }
        let now = self.machine.clocks().now();
        let wall = Wall::of(now.unix, now.boot_ns, now.tai_ns);
        let schedules = wall.rows(&desired.image.schedules);
        let report = InstallReport {
            generation: desired.generation,
            slot: 0,
            digest: 0,
            rows: [("", 0); 7],
            missing: 0,
            by_name: 0,
            problems: vec![],
        };
        {
            let mut kernel = self.machine.kernel();
            match (self.machine.mutant, &kernel.installed) {
                (Some(Mutant::RevokedLeaseStays), Some(before)) => {
                    let stay = before.desired.leases.iter();
                    let gone = stay.filter(|one| !desired.leases.contains(one));
                    let gone: Vec<_> = gone.copied().collect();
                    desired.leases.extend(gone);
                }
                (Some(Mutant::HostSaysEnforcedTooEarly), Some(before)) => {
                    desired.leases.clone_from(&before.desired.leases);
                    desired.image = Arc::clone(&before.desired.image);
                }
                _ => {}
            }
            kernel.installed = Some(Installed { desired, schedules });
        }
        if self.life.goes_on() {
            Ok(report)
        } else {
            Err(ENDED.into())
        }
    }

    fn relabel(&mut self) -> Result<Relabelled, PortError> {
        Ok(Relabelled::Unchanged)
    }

    fn concerns(&self) -> Vec<String> {
        vec![]
    }

    fn verify(&self) -> Result<(), PortError> {
        Ok(())
    }
}
