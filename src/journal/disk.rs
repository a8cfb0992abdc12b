//! Everything that the journal does to a disk, behind one trait, so that tests can take the place of a disk that fails.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
    time::SystemTime,
};

/// How much is written at a time while a segment is filled with zeros: 1 MiB, 16 calls for a segment of the usual size.
const ZEROS: usize = 1024 * 1024;

/// A disk, as far as the journal needs one.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// The names in a directory. Those that are not UTF-8 are not ours, and left out.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory whose parent is there.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a file of `bytes` zeros in place of whatever has that name, with all its blocks written and durable, so that writing
    /// over them later moves no metadata.
    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file to read it.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file to read it and to change it.
    fn open_to_change(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file or directory another name; atomic.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, or copies it where the file system has no second names.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes durable which names a directory holds.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file of a [`Disk`].
#[allow(clippy::len_without_is_empty, reason = "a file's length, not a collection's")]
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads from `offset` on; fewer bytes than asked at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at `offset`; may write fewer bytes than asked.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes the content durable.
    fn sync_data(&self) -> io::Result<()>;
    /// How long it is.
    fn len(&self) -> io::Result<u64>;
    /// Makes it so long.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// When it was last changed.
    fn modified(&self) -> io::Result<SystemTime>;
    /// Says when it was last changed.
    fn set_modified(&self, at: SystemTime) -> io::Result<()>;
}

/// The machine's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let zeros = vec![0; ZEROS.min(usize::try_from(bytes).unwrap_or(ZEROS))];
        let mut done = 0;
        while done < bytes {
            let piece = zeros.len().min(usize::try_from(bytes - done).unwrap_or(zeros.len()));
            file.write_all_at(&zeros[..piece], done)?;
            done += piece as u64;
        }
        file.sync_all()?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(path)?))
    }

    fn open_to_change(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::options().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::copy(from, to).map(|_| ()),
            done => done,
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.metadata()?.modified()
    }

    fn set_modified(&self, at: SystemTime) -> io::Result<()> {
        Self::set_modified(self, at)
    }
}

/// Writes all of `bytes`, however few the disk takes at a time.
pub(super) fn write_all(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written.min(bytes.len())..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `into` is full or the file ends; says how much that was.
pub(super) fn read_full(file: &dyn DiskFile, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Blocks of this size are given up one by one where a disk can't read them any more.
const BLOCK: usize = 4096;

/// Reads a piece of a file with zeros in place of what the disk can't read any more, at most `max` bytes.
pub(super) fn read_leniently(file: &dyn DiskFile, offset: u64, max: u64) -> io::Result<Vec<u8>> {
    let bytes = file.len()?.saturating_sub(offset).min(max);
    let mut all = vec![0; usize::try_from(bytes).unwrap_or(0)];
    if read_full(file, &mut all, offset).is_err() {
        for (index, block) in all.chunks_mut(BLOCK).enumerate() {
            if read_full(file, block, offset + (index * BLOCK) as u64).is_err() {
                block.fill(0);
            }
        }
    }
    Ok(all)
}
