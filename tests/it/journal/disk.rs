//! A disk that fails when it is told to, and never really syncs: power does not fail in tests.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::SystemTime,
};

use vpn_core::journal::{Disk, DiskFile, RealDisk};

/// What goes wrong. Counters say how many of the next calls fail.
#[derive(Debug, Default)]
pub struct Faults {
    pub no_room: AtomicBool,
    pub failing_syncs: AtomicU64,
    pub failing_writes: AtomicU64,
    pub failing_renames: AtomicU64,
    /// Of the directories of generations.
    pub failing_dir_syncs: AtomicU64,
    /// Writes take a few bytes at a time.
    pub short_writes: AtomicBool,
    /// Bytes below this offset, from 64 on, can't be read.
    pub unreadable_below: AtomicU64,
    /// Turns of `allocate` so far.
    pub allocations: AtomicU64,
}

#[derive(Debug, Default)]
pub struct FlakyDisk {
    pub faults: Arc<Faults>,
}

#[derive(Debug)]
struct FlakyFile {
    file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
    /// A write or a sync failed: what is on the disk is unknown for good, so nothing more may be written here.
    failed: AtomicBool,
}

fn fails(counter: &AtomicU64) -> io::Result<()> {
    match counter.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Err(io::Error::other("injected")),
        Err(_) => Ok(()),
    }
}

impl FlakyDisk {
    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let faults = Arc::clone(&self.faults);
        let failed = AtomicBool::new(false);
        Arc::new(FlakyFile { file, faults, failed })
    }
}

impl Disk for FlakyDisk {
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.faults.allocations.fetch_add(1, SeqCst);
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        if self.faults.no_room.load(SeqCst) {
            // As a real disk does it: the file is there, but not all of it.
            file.set_len(bytes / 2)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.set_len(bytes)?;
        Ok(self.wrap(Arc::new(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(RealDisk.open(path)?))
    }

    fn open_to_change(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(RealDisk.open_to_change(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fails(&self.faults.failing_renames)?;
        RealDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if path.ends_with("journal") {
            return Ok(());
        }
        fails(&self.faults.failing_dir_syncs)
    }
}

impl DiskFile for FlakyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let bad = self.faults.unreadable_below.load(SeqCst);
        if offset + into.len() as u64 > 64 && offset < bad {
            return Err(io::Error::other("injected"));
        }
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        assert!(!self.failed.load(SeqCst), "a write to a file that failed");
        if let Err(error) = fails(&self.faults.failing_writes) {
            self.failed.store(true, SeqCst);
            // Half of it reaches the disk.
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        let short = self.faults.short_writes.load(SeqCst);
        let count = if short { bytes.len().min(7) } else { bytes.len() };
        self.file.write_at(&bytes[..count], offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        assert!(!self.failed.load(SeqCst), "a sync of a file that failed");
        fails(&self.faults.failing_syncs).inspect_err(|_| self.failed.store(true, SeqCst))
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.file.modified()
    }

    fn set_modified(&self, at: SystemTime) -> io::Result<()> {
        self.file.set_modified(at)
    }
}
