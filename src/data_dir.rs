//! The data folder: one process at a time, and a name that stays.

use std::{
    fs::{self, File, TryLockError},
    io::{BufWriter, IntoInnerError, Write as _},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::model::Time;

/// A data folder that this process holds.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held as long as this lives; the kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

/// Why the folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds it.
    #[error("the data folder {0} is in use by another process")]
    InUse(PathBuf),
    /// It can't be read or written.
    #[error("the data folder {path}: {error}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl DataDir {
    /// Makes the folder if it is not there, and holds it.
    pub fn hold(path: &Path) -> Result<Self, DataDirError> {
        make(path)?;
        let at = |error| DataDirError::Io {
            path: path.to_owned(),
            error,
        };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(at)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(at(error)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal is.
    pub fn journal(&self) -> PathBuf {
        journal(&self.path)
    }

    /// Where the snapshot is.
    pub fn snapshot(&self) -> PathBuf {
        snapshot(&self.path)
    }

    /// The name of this instance: the one that is given, else the one that is kept here, else a new one that is kept from now on.
    pub fn instance_id(&self, given: Option<&str>) -> Result<String, DataDirError> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        if let Some(kept) = kept_instance_id(&self.path) {
            return Ok(kept);
        }
        let path = instance_id_file(&self.path);
        let made = uuid::Uuid::new_v4().simple().to_string();
        replace(&path, format!("{made}\n").as_bytes()).map_err(|error| DataDirError::Io { path, error })?;
        Ok(made)
    }

    /// Takes the word back where Core listens: it does not, yet or any more.
    pub fn forget_ports(&self) -> Result<(), DataDirError> {
        match fs::remove_file(self.ports()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DataDirError::Io {
                path: self.ports(),
                error,
            }),
            _ => Ok(()),
        }
    }

    /// Says where Core listens.
    pub fn write_ports(&self, http: u16, grpc: u16, admin: u16) -> Result<(), DataDirError> {
        let ports = json!({"pid": std::process::id(), "http": http, "grpc": grpc, "admin": admin});
        replace(&self.ports(), ports.to_string().as_bytes()).map_err(|error| DataDirError::Io {
            path: self.ports(),
            error,
        })
    }

    fn ports(&self) -> PathBuf {
        ports(&self.path)
    }
}

/// Makes a data folder if it is not there; only its owner may look inside.
pub fn make(path: &Path) -> Result<(), DataDirError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| DataDirError::Io {
        path: path.to_owned(),
        error,
    })
}

/// The name of the instance whose data folder this is, if it has one yet.
pub fn kept_instance_id(path: &Path) -> Option<String> {
    let kept = fs::read_to_string(instance_id_file(path)).ok()?;
    let kept = kept.trim();
    (!kept.is_empty()).then(|| kept.to_owned())
}

fn instance_id_file(path: &Path) -> PathBuf {
    path.join("instance-id")
}

/// Where the journal of a data folder is.
pub fn journal(path: &Path) -> PathBuf {
    path.join("journal")
}

/// Whether a process holds this data folder. Nothing is made; a folder that is not there is held by nobody.
pub fn is_held(path: &Path) -> std::io::Result<bool> {
    let lock = match File::open(path.join("lock")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    match lock.try_lock_shared() {
        Ok(()) => lock.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The process that says that it listens on this data folder.
pub fn pid(path: &Path) -> Option<u32> {
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(ports(path)).ok()?).ok()?;
    u32::try_from(ports["pid"].as_u64()?).ok()
}

/// When Core last wrote its snapshot or its ports here, by the file system.
pub fn written_at(path: &Path) -> Option<Time> {
    let written = |file: PathBuf| {
        let at = fs::metadata(file).ok()?.modified().ok()?;
        let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Time::from_millis(i64::try_from(since.as_millis()).ok()?))
    };
    written(snapshot(path)).max(written(ports(path)))
}

/// Where the snapshot of a data folder is.
pub fn snapshot(path: &Path) -> PathBuf {
    path.join("snapshot.json")
}

fn ports(path: &Path) -> PathBuf {
    path.join("ports.json")
}

/// Where the embedded store of a data folder is.
pub fn embedded_store(path: &Path) -> PathBuf {
    path.join("core.db")
}

/// Puts a file in place whole or not at all, and durably.
pub fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    replace_by(path, |file| file.write_all(content))
}

/// As [`replace`], by what is written piece by piece.
pub fn replace_by(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = BufWriter::new(File::create(&beside)?);
    write(&mut file)?;
    file.into_inner().map_err(IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let held = DataDir::hold(&path).unwrap();
        assert!(matches!(DataDir::hold(&path), Err(DataDirError::InUse(_))));
        let name = held.instance_id(None).unwrap();
        assert_eq!(held.instance_id(None).unwrap(), name);
        assert_eq!(held.instance_id(Some("de-1")).unwrap(), "de-1");
        drop(held);
        assert_eq!(DataDir::hold(&path).unwrap().instance_id(None).unwrap(), name);
    }
}
