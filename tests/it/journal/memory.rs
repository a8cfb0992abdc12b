//! A disk in memory, for tests that need ten thousand of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use vpn_core::journal::{Disk, DiskFile};

/// Files by their names, and the directories that hold them.
#[derive(Debug, Default)]
pub struct MemoryDisk(Mutex<Tree>);

#[derive(Debug, Default)]
struct Tree {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
}

#[derive(Debug)]
struct MemoryFile(Mutex<(Vec<u8>, SystemTime)>);

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl MemoryDisk {
    /// Puts a file there, and its directory.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut tree = self.0.lock().unwrap();
        tree.dirs.insert(path.parent().unwrap().to_owned());
        let file = Arc::new(MemoryFile(Mutex::new((bytes, UNIX_EPOCH))));
        tree.files.insert(path.to_owned(), file);
    }

    fn file(&self, path: &Path) -> io::Result<Arc<MemoryFile>> {
        let file = self.0.lock().unwrap().files.get(path).cloned();
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let tree = self.0.lock().unwrap();
        let inside = tree
            .dirs
            .iter()
            .chain(tree.files.keys())
            .filter(|it| it.parent() == Some(path));
        Ok(inside
            .map(|it| it.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let new = self.0.lock().unwrap().dirs.insert(path.to_owned());
        if new {
            Ok(())
        } else {
            Err(io::ErrorKind::AlreadyExists.into())
        }
    }

    fn allocate(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.put(path, vec![0; index(bytes)]);
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path)?)
    }

    fn open_to_change(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.0.lock().unwrap();
        if tree.dirs.remove(from) {
            tree.dirs.insert(to.to_owned());
            let inside: Vec<_> = tree.files.keys().filter(|it| it.starts_with(from)).cloned().collect();
            for path in inside {
                let file = tree.files.remove(&path).unwrap();
                tree.files.insert(to.join(path.file_name().unwrap()), file);
            }
            return Ok(());
        }
        let file = tree.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        tree.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        self.0.lock().unwrap().files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let gone = self.0.lock().unwrap().files.remove(path);
        gone.map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        assert!(self.list(path)?.is_empty());
        self.0.lock().unwrap().dirs.remove(path);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = self.0.lock().unwrap();
        let rest = file.0.get(index(offset)..).unwrap_or(&[]);
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap();
        // The journal writes over what is there, and never beyond it.
        file.0[index(offset)..][..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().0.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.lock().unwrap().0.resize(index(bytes), 0);
        Ok(())
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(self.0.lock().unwrap().1)
    }

    fn set_modified(&self, at: SystemTime) -> io::Result<()> {
        self.0.lock().unwrap().1 = at;
        Ok(())
    }
}
