//! What is done about damage: said once, counted, and the file kept for people to look at.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use metrics::counter;

use super::{
    disk::{Disk, write_all},
    layout::QUARANTINED,
};

/// How many files are kept: 64 segments of 16 MiB are 1 GiB. Damage beyond that is still said and counted.
const FILES_MAX: usize = 64;

/// Reports damage, and keeps what was damaged.
#[derive(Debug)]
pub(super) struct Quarantine {
    /// The journal's directory: what is kept there outlives the generation. None: nothing is kept.
    dir: Option<PathBuf>,
    lost: AtomicU64,
}

impl Quarantine {
    pub const fn new(dir: PathBuf) -> Self {
        Self {
            dir: Some(dir),
            lost: AtomicU64::new(0),
        }
    }

    /// One that only says and counts, for a journal that must stay as it is.
    pub const fn without_copies() -> Self {
        Self {
            dir: None,
            lost: AtomicU64::new(0),
        }
    }

    /// How many records were lost to damage that was found since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts records that were lost.
    pub fn count(&self, lost: u64) {
        self.lost.fetch_add(lost, Ordering::Relaxed);
        counter!("core_journal_damaged_records_total").increment(lost);
    }

    /// Says that a file is damaged, and keeps it under a second name: a sealed file is never changed, so the name is as good as a
    /// copy, and costs no room as long as the segment is there.
    pub fn report(&self, disk: &dyn Disk, path: &Path, lost: u64, what: &str) {
        tracing::error!(file = %path.display(), lost, what, "a file of the journal is damaged; what is whole in it still counts");
        self.count(lost);
        if let Err(error) = self.keep(disk, path, "", |kept| disk.link(path, kept)) {
            tracing::error!(file = %path.display(), %error, "the damaged file could not be kept for a look");
        }
    }

    /// Says that whole records follow the bad one that ends a torn segment, and keeps a copy of those bytes, since they are about to be
    /// cut off.
    pub fn keep_tail(&self, disk: &dyn Disk, path: &Path, tail: &[u8]) -> io::Result<()> {
        tracing::error!(
            file = %path.display(),
            bytes = tail.len(),
            "whole records follow the bad one at which this segment of the journal ends: a crash in the middle of a write, or damage"
        );
        self.keep(disk, path, ".tail", |kept| {
            let file = disk.allocate(kept, tail.len() as u64)?;
            write_all(&*file, tail, 0)?;
            file.sync_data()
        })
    }

    /// Keeps it as `<generation>.<file>.quarantined` beside the generations.
    fn keep(
        &self,
        disk: &dyn Disk,
        path: &Path,
        what: &str,
        keep: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(dir) = &self.dir else {
            return Ok(());
        };
        let name = |path: Option<&Path>| Some(path?.file_name()?.to_str()?.to_owned());
        let (generation, file) = name(path.parent())
            .zip(name(Some(path)))
            .ok_or(io::ErrorKind::InvalidFilename)?;
        let kept = format!("{generation}.{file}{what}{QUARANTINED}");
        let names = disk.list(dir)?;
        if names.contains(&kept) {
            return Ok(());
        }
        if names.iter().filter(|it| it.ends_with(QUARANTINED)).count() >= FILES_MAX {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        keep(&dir.join(kept))
    }
}
