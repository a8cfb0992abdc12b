//! Makes segments: the next one is filled with zeros on a thread of its own while the present one is written, so that a change of
//! segment costs the writer two small writes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::{
    AppendError,
    disk::{Disk, DiskFile, write_all},
    layout,
    shared::Shared,
};
use crate::model::Position;

/// Makes the segments of the open generation.
#[derive(Debug)]
pub(super) struct Maker {
    shared: Arc<Shared>,
    /// The generation's directory; it is made with the first segment, so that a full disk does not stop a start.
    dir: PathBuf,
    next_index: u64,
    spare: Option<JoinHandle<Result<Blank, AppendError>>>,
}

/// A file of zeros that has no name yet.
#[derive(Debug)]
pub(super) struct Blank {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    bytes: u64,
}

/// A blank that became a segment.
#[derive(Debug)]
pub(super) struct Made {
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    pub bytes: u64,
}

impl Maker {
    pub const fn new(shared: Arc<Shared>, dir: PathBuf) -> Self {
        Self {
            shared,
            dir,
            next_index: 0,
            spare: None,
        }
    }

    /// Begins to make the next blank, of the usual size.
    pub fn prepare(&mut self) {
        let (shared, dir, index) = (Arc::clone(&self.shared), self.dir.clone(), self.next_index);
        let make = move || blank(&shared, &dir, index, shared.options.segment_bytes);
        // Without a thread the blank is made when it is needed.
        self.spare = thread::Builder::new().name("journal-spare".to_owned()).spawn(make).ok();
    }

    /// A blank with room for `bytes`: the one that was prepared, or one made now.
    pub fn blank(&mut self, bytes: u64) -> Result<Blank, AppendError> {
        if bytes == self.shared.options.segment_bytes {
            let spare = self.spare.take().and_then(|thread| thread.join().ok());
            if let Some(Ok(blank)) = spare {
                return Ok(blank);
            }
        } else {
            self.discard();
        }
        blank(&self.shared, &self.dir, self.next_index, bytes)
    }

    /// Writes the head of a segment. A blank that can't take it is gone.
    pub fn head(&self, blank: Blank, first: Position) -> Result<Blank, AppendError> {
        let head = layout::segment_head(self.shared.id, first);
        match write_all(&*blank.file, &head, 0).and_then(|()| blank.file.sync_data()) {
            Ok(()) => Ok(blank),
            Err(error) => {
                self.forget(&blank.path, blank.bytes);
                Err(error.into())
            }
        }
    }

    /// Makes the blank the next segment. An index is never used twice: after a failure, the name may be on the disk or not.
    pub fn name(&mut self, blank: Blank) -> Result<Made, AppendError> {
        let path = self.dir.join(layout::segment_name(self.next_index));
        self.next_index += 1;
        let disk = &*self.shared.disk;
        if let Err(error) = disk.rename(&blank.path, &path) {
            self.forget(&blank.path, blank.bytes);
            return Err(error.into());
        }
        if let Err(error) = disk.sync_dir(&self.dir) {
            self.forget(&path, blank.bytes);
            return Err(error.into());
        }
        Ok(Made {
            path,
            file: blank.file,
            bytes: blank.bytes,
        })
    }

    /// Removes a file that holds nothing; what can't be removed goes on being counted.
    pub fn forget(&self, path: &Path, bytes: u64) {
        forget(&self.shared, path, bytes);
    }

    /// Removes the blank that was prepared.
    pub fn discard(&mut self) {
        if let Some(Ok(Ok(blank))) = self.spare.take().map(JoinHandle::join) {
            self.forget(&blank.path, blank.bytes);
        }
    }
}

fn blank(shared: &Shared, dir: &Path, index: u64, bytes: u64) -> Result<Blank, AppendError> {
    shared.budget.take(bytes)?;
    let path = dir.join(layout::temporary_name(index));
    let made = ensure_dir(&*shared.disk, dir).and_then(|()| shared.disk.allocate(&path, bytes));
    match made {
        Ok(file) => Ok(Blank { path, file, bytes }),
        Err(error) => {
            forget(shared, &path, bytes);
            Err(error.into())
        }
    }
}

fn ensure_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    match disk.create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Even if it is there: it may be so since a try whose sync failed.
    match dir.parent() {
        Some(parent) => disk.sync_dir(parent),
        None => Ok(()),
    }
}

fn forget(shared: &Shared, path: &Path, bytes: u64) {
    match shared.disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), %error, "a file of the journal without records could not be removed");
        }
        _ => shared.budget.give_back(bytes),
    }
}
