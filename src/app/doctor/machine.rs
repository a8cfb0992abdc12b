//! What Core needs of the machine: its disk, its clock, its limits; and whether a Core runs there.

use std::{fs, path::Path};

use bytesize::ByteSize;
use rustix::{
    fs::{Access, access, statvfs},
    process::{Resource, getrlimit},
};

use crate::{
    config::Settings,
    data_dir,
    model::{Time, finding::Finding},
};

/// Core was written after this: 2026-01-01. A machine without a battery starts in 1970.
const WRITTEN_MILLIS: i64 = 1_767_225_600_000;

/// A connection a node, and some for the journal, the store and admins.
const DESCRIPTORS: u64 = 8_192;

/// Below this there is not even room for the segments that come next.
const DISK_LEAST: ByteSize = ByteSize::mib(64);

/// Whether a Core runs on the data folder.
#[derive(Debug)]
pub(super) enum Running {
    /// Somebody holds the folder; as this process, if it says so.
    Yes(Option<u32>),
    No,
    /// It can't be told.
    Unknown(String),
}

impl Running {
    pub(super) fn finding(&self, settings: &Settings) -> Finding {
        let dir = settings.data_dir.display();
        match self {
            Self::Yes(Some(pid)) => Finding::ok(format!("a Core runs on {dir}, as process {pid}")),
            Self::Yes(None) => Finding::warn(
                format!("a process holds {dir} and does not say where it listens"),
                "It starts, stops or replays a journal: ask again in a moment.",
            ),
            Self::No => Finding::ok(format!("no Core runs on {dir}")),
            Self::Unknown(why) => Finding::bad(
                format!("{dir} can't be looked at: {why}"),
                "Run doctor as the user that Core runs as.",
            ),
        }
    }
}

/// Looks who holds the folder.
pub(super) fn running(settings: &Settings) -> Running {
    match data_dir::is_held(&settings.data_dir) {
        Ok(true) => Running::Yes(data_dir::pid(&settings.data_dir)),
        Ok(false) => Running::No,
        Err(error) => Running::Unknown(error.to_string()),
    }
}

/// Whether the clock can be what it says.
pub(super) fn clock(settings: &Settings, now: Time) -> Finding {
    let mend = "Have this machine set its clock by NTP: usage is counted by the minute, and tokens and codes end by the clock.";
    if now.millis() < WRITTEN_MILLIS {
        return Finding::bad(format!("this machine's clock says {now}"), mend);
    }
    match data_dir::written_at(&settings.data_dir) {
        Some(written) if written > now => Finding::warn(
            format!("this machine's clock says {now}, and Core wrote here at {written}"),
            mend,
        ),
        _ => Finding::ok(format!("this machine's clock says {now}")),
    }
}

/// The folder, and the room under it.
pub(super) fn disk(settings: &Settings) -> Vec<Finding> {
    let dir = &settings.data_dir;
    if !dir.exists() {
        return vec![Finding::ok(format!(
            "{} is not there yet: the first start makes it",
            dir.display()
        ))];
    }
    let may_write = access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
    let mut findings = Vec::new();
    if let Err(error) = may_write {
        findings.push(Finding::bad(
            format!("{} can't be written by this user: {error}", dir.display()),
            "Run doctor as the user that Core runs as; if it says the same then, give that user the folder.",
        ));
    }
    findings.push(room(dir, settings.journal_max_bytes));
    findings
}

fn room(dir: &Path, journal_max: ByteSize) -> Finding {
    let free = match statvfs(dir) {
        Ok(stat) => ByteSize(stat.f_bavail.saturating_mul(stat.f_frsize)),
        Err(error) => {
            return Finding::bad(
                format!("how much room {} has can't be told: {error}", dir.display()),
                "Look at the disk under it.",
            );
        }
    };
    let what = format!("{free} are free under {}", dir.display());
    if free < DISK_LEAST {
        Finding::bad(what, "Make room: without it reports are answered with 503.")
    } else if free < journal_max {
        Finding::warn(
            format!("{what}, less than JOURNAL_MAX_BYTES ({journal_max})"),
            "Make room, or lower JOURNAL_MAX_BYTES: a store that is away for long fills the disk before the journal's limit is met.",
        )
    } else {
        Finding::ok(what)
    }
}

/// How many files and connections Core may have: the one that runs, else one that is started as this was.
pub(super) fn descriptors(running: &Running) -> Finding {
    let of_process = match running {
        Running::Yes(Some(pid)) => open_files_of(*pid),
        _ => None,
    };
    let (whose, limit) = match of_process {
        Some(limit) => ("the Core that runs", limit),
        None => (
            "a process started from here",
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        ),
    };
    let what = format!("{whose} may open {limit} files, and a node takes one or two");
    if limit < DESCRIPTORS {
        Finding::warn(what, "Raise it: LimitNOFILE=65536 in the unit, or ulimit -n.")
    } else {
        Finding::ok(what)
    }
}

fn open_files_of(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
