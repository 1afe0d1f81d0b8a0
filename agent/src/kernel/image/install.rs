//! Installs images: builds the idle slot, reads it back, and flips in one write.
//!
//! Whatever fails before the flip leaves the active image as it was. The slot that was active is not touched before
//! the next installation, so that decisions that still read it end on what they began with.

use std::{
    ffi::OsStr,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
    time::{Duration, Instant},
};

use stayhand_agent_ebpf::abi::image::{ACTIVE_BUILDING, ACTIVE_IMAGE, ACTIVE_SLOT_MASK};
use stayhand_guardrail::id::Generation;

use super::{
    super::{
        identity::{Identify, IdentityError},
        mounts::{Mounts, MountsError},
        pins::Pins,
        settings::Secret,
        table::TableError,
    },
    Desired, InstallReport, Relabelled,
    automaton::{Automaton, TooLarge},
    graph::Graph,
    resolve::{Resolved, resolve},
    rows::Rows,
    tables::Tables,
};

/// Least time between two flips: far longer than any decision takes, so that no decision sees its slot rebuilt.
pub const FLIP_INTERVAL: Duration = Duration::from_secs(1);

/// Why an image was not installed. The active one is untouched.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A map cannot be used, or is full.
    #[error(transparent)]
    Table(#[from] TableError),
    /// An object that must be labelled cannot be.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Mounts are not known.
    #[error(transparent)]
    Mounts(#[from] MountsError),
    /// The image does not fit.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Two names have one hash.
    #[error(
        "two names of the policies have one hash under this boot's secret; rename one, or reboot"
    )]
    Collision,
    /// The kernel's rows are not what was written.
    #[error("map `{map}` does not read back as it was written; somebody else writes to it")]
    ReadBack {
        /// The map
        map: &'static str,
    },
}

/// What the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// Its number
    pub generation: Generation,
    /// Its slot
    pub slot: u32,
}

pub(super) type ReadMounts = Box<dyn Fn() -> Result<Mounts, MountsError> + Send>;

/// The one writer of images. Its calls block for the time that labelling and writing take, and for up to
/// [`FLIP_INTERVAL`] after the last flip.
pub struct Installer {
    tables: Tables,
    identify: Box<dyn Identify + Send>,
    mounts: ReadMounts,
    secret: Secret,
    flip_interval: Duration,
    installed: Option<(Desired, Rows)>,
    last_flip: Option<Instant>,
}

impl Installer {
    /// Opens the pinned maps.
    pub fn open(
        pins: &Pins,
        identify: Box<dyn Identify + Send>,
        secret: Secret,
    ) -> Result<Self, InstallError> {
        Self::with(
            Tables::open(pins)?,
            identify,
            Box::new(Mounts::read),
            secret,
            FLIP_INTERVAL,
        )
    }

    pub(super) fn with(
        tables: Tables,
        identify: Box<dyn Identify + Send>,
        mounts: ReadMounts,
        secret: Secret,
        flip_interval: Duration,
    ) -> Result<Self, InstallError> {
        let mut made = Self {
            tables,
            identify,
            mounts,
            secret,
            flip_interval,
            installed: None,
            last_flip: None,
        };
        // An earlier agent may have flipped just now.
        made.last_flip = made.active()?.map(|_| Instant::now());
        Ok(made)
    }

    /// What the kernel enforces now; `None` before the first installation on this boot.
    pub fn active(&self) -> Result<Option<Active>, InstallError> {
        let raw = self.tables.active.get(&ACTIVE_IMAGE)?.unwrap_or(0);
        let slot = u32::from(raw & ACTIVE_SLOT_MASK != 0);
        Ok((raw != 0).then_some(Active {
            generation: Generation(raw >> 1),
            slot,
        }))
    }

    /// Installs and flips.
    pub fn install(&mut self, desired: Desired) -> Result<InstallReport, InstallError> {
        let slot = self.active()?.map_or(0, |active| active.slot ^ 1);
        let (rows, resolved) = self.rows(&desired, slot)?;
        if let Some(last) = self.last_flip {
            std::thread::sleep(self.flip_interval.saturating_sub(last.elapsed()));
        }
        if let Err(error) = self.build(slot, &rows) {
            // The mark of building stays: the slot is not whole until the next installation. Its rows go, because
            // they take room from it; if even that fails, the next installation clears them.
            drop(self.tables.clear(slot));
            return Err(error);
        }
        self.tables.active.put(
            &ACTIVE_IMAGE,
            &(desired.generation.0 << 1 | u64::from(slot)),
        )?;
        self.last_flip = Some(Instant::now());
        self.tables.active.put(&ACTIVE_BUILDING, &0)?;
        let report = InstallReport::new(desired.generation, slot, &rows, resolved);
        self.installed = Some((desired, rows));
        Ok(report)
    }

    fn build(&mut self, slot: u32, rows: &Rows) -> Result<(), InstallError> {
        self.tables
            .active
            .put(&ACTIVE_BUILDING, &(u64::from(slot) + 1))?;
        self.tables.clear(slot)?;
        self.tables.write(slot, rows)?;
        self.compare(slot, rows)
    }

    fn compare(&self, slot: u32, rows: &Rows) -> Result<(), InstallError> {
        match rows.difference(&self.tables.read(slot, rows)?) {
            None => Ok(()),
            Some(map) => Err(InstallError::ReadBack { map }),
        }
    }

    fn rows(&self, desired: &Desired, slot: u32) -> Result<(Rows, Resolved), InstallError> {
        let mut graph = Graph::new(&desired.image);
        graph.add_real_names(|path| {
            let real = self
                .identify
                .canonical(Path::new(OsStr::from_bytes(path)))?;
            Some(real.into_os_string().into_vec())
        });
        graph.add_mounts(&(self.mounts)()?);
        let resolved = resolve(&mut graph, self.identify.as_ref())?;
        let automaton = Automaton::build(&desired.image, &graph, &resolved)?;
        let rows = Rows::build(desired, &automaton, slot, self.secret.key())
            .ok_or(InstallError::Collision)?;
        Ok((rows, resolved))
    }

    /// Looks at mounts and objects again, for those that came, went or were replaced since. Cheap when nothing
    /// changed: one open per path of a rule.
    pub fn relabel(&mut self) -> Result<Relabelled, InstallError> {
        let (Some((desired, old)), Some(active)) = (&self.installed, self.active()?) else {
            return Ok(Relabelled::Nothing);
        };
        let (new, _) = self.rows(desired, active.slot)?;
        match new.difference(old) {
            None => return Ok(Relabelled::Unchanged),
            Some("LABELS") if only_labels(&new, old) => {}
            Some(_) => {
                return self
                    .install(desired.clone())
                    .map(|report| Relabelled::Reinstalled(Box::new(report)));
            }
        }
        let (set, removed) = self.tables.exchange_labels(&old.labels, &new.labels)?;
        let desired = desired.clone();
        self.installed = Some((desired, new));
        Ok(Relabelled::Labels { set, removed })
    }

    /// Compares the live image with what was installed: an error names the map that somebody else wrote to.
    pub fn verify(&self) -> Result<(), InstallError> {
        match (&self.installed, self.active()?) {
            (Some((desired, rows)), Some(active)) if active.generation == desired.generation => {
                self.compare(active.slot, rows)
            }
            (None, _) => Ok(()),
            _ => Err(InstallError::ReadBack { map: "ACTIVE" }),
        }
    }
}

fn only_labels(new: &Rows, old: &Rows) -> bool {
    let mut labels_aside = old.clone();
    labels_aside.labels.clone_from(&new.labels);
    new.difference(&labels_aside).is_none()
}
