//! The commands on journals, of this machine or of one that died: what is in them, and bringing it home.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use bytesize::ByteSize;
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    config::Settings,
    data_dir::{self, DataDir},
    flush::{Flush, TakeOver, Tally},
    journal::{self, GenerationReport, Journal, JournalError, RealDisk, SegmentReport},
    model::{Position, SubscriptionId, quota::Quota},
    store::{Store, in_time::InTime},
};

use super::stores;

/// Who has taken over what lies in a journal that came without the name of its instance.
const NAMELESS: &str = "replay";

/// How often a journal is looked at anew when a segment went away under the look: a running Core removes some once a minute.
const LOOKS: u32 = 3;

/// A folder that was named, and what is in it.
struct Place {
    journal: PathBuf,
    /// The data folder around it, if that was named.
    data_dir: Option<PathBuf>,
}

impl Place {
    /// A data folder, or a journal alone.
    fn of(dir: &Path) -> anyhow::Result<Self> {
        let inside = data_dir::journal(dir);
        if inside.is_dir() {
            return Ok(Self {
                journal: inside,
                data_dir: Some(dir.to_owned()),
            });
        }
        anyhow::ensure!(dir.is_dir(), "there is no folder {}", dir.display());
        let generations = journal::inspect(dir)?;
        anyhow::ensure!(!generations.is_empty(), "there is no journal in {}", dir.display());
        Ok(Self {
            journal: dir.to_owned(),
            data_dir: None,
        })
    }
}

/// What is in a journal.
#[derive(Debug)]
pub struct Inspection {
    dir: PathBuf,
    generations: Vec<Inspected>,
    /// Why the store was not asked, or did not say.
    silence: Option<String>,
}

/// A generation, and how much of it the store has.
#[derive(Debug)]
pub struct Inspected {
    /// What lies on the disk.
    pub report: GenerationReport,
    /// How far the store has it; none if the store did not say.
    pub watermark: Option<Position>,
}

impl Inspected {
    /// Records that the store lacks, damaged ones included; none if the store did not say.
    pub fn missing(&self) -> Option<u64> {
        let has = self.watermark?.0.max(self.report.first.0.saturating_sub(1));
        Some(self.report.end.0.saturating_sub(has))
    }

    fn sum(&self, of: impl Fn(&SegmentReport) -> u64) -> u64 {
        self.report.segments.iter().map(of).sum()
    }

    /// Records that must be there and are not whole.
    pub fn lost(&self) -> u64 {
        self.sum(|it| it.lost)
    }

    /// What it takes on the disk.
    pub fn bytes(&self) -> u64 {
        self.sum(|it| it.bytes)
    }

    fn records(&self) -> u64 {
        self.sum(|it| it.records)
    }
}

/// Looks at a journal, and asks the store how much of it it has. Changes nothing.
pub async fn inspect(settings: &Settings, dir: &Path) -> anyhow::Result<Inspection> {
    let place = Place::of(dir)?;
    let store = match stores::look_at(settings) {
        Ok(Some(store)) => Ok(store),
        Ok(None) => Err("there is no store yet".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    };
    look(&place.journal, store).await
}

/// Looks at the journal in this folder beside whoever writes to it.
pub(super) async fn look(dir: &Path, store: Result<Arc<dyn Store>, String>) -> anyhow::Result<Inspection> {
    let mut left = LOOKS;
    let reports = loop {
        left -= 1;
        match journal::inspect(dir) {
            Err(JournalError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound && left > 0 => {}
            looked => break looked?,
        }
    };
    let (store, mut silence) = match store {
        Ok(store) => (Some(InTime::new(store)), None),
        Err(why) => (None, Some(why)),
    };
    let mut generations = Vec::with_capacity(reports.len());
    for report in reports {
        let mut watermark = None;
        if let Some(store) = store.as_ref().filter(|_| silence.is_none()) {
            match store.watermark(report.id).await {
                Ok(known) => watermark = Some(known.unwrap_or(Position::START)),
                Err(error) => silence = Some(error.to_string()),
            }
        }
        generations.push(Inspected { report, watermark });
    }
    Ok(Inspection {
        dir: dir.to_owned(),
        generations,
        silence,
    })
}

impl Inspection {
    /// Its generations, oldest first.
    pub fn generations(&self) -> &[Inspected] {
        &self.generations
    }

    /// For machines.
    pub fn to_json(&self) -> Value {
        let segment = |it: &SegmentReport| {
            json!({
                "file": it.path, "first": it.first.0, "records": it.records, "lost": it.lost, "bytes": it.bytes,
                "headDamaged": it.head_damaged,
            })
        };
        let generation = |it: &Inspected| {
            let report = &it.report;
            json!({
                "id": report.id.to_string(), "path": report.path, "sealed": report.sealed, "damaged": report.damaged(),
                "sealDamaged": report.seal_damaged, "first": report.first.0, "end": report.end.0, "records": it.records(),
                "lost": it.lost(), "bytes": it.bytes(), "watermark": it.watermark.map(|at| at.0), "missing": it.missing(),
                "segments": report.segments.iter().map(segment).collect::<Vec<_>>(), "unusable": report.unusable,
            })
        };
        json!({
            "journal": self.dir,
            "generations": self.generations.iter().map(generation).collect::<Vec<_>>(),
            "store": self.silence.as_deref().map_or_else(|| "answers".to_owned(), |why| format!("not asked: {why}")),
        })
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "journal {}: {} generations",
            self.dir.display(),
            self.generations.len()
        )?;
        for it in &self.generations {
            it.fmt(f)?;
        }
        let sum = |of: fn(&Inspected) -> u64| self.generations.iter().map(of).sum::<u64>();
        let bytes = ByteSize(sum(Inspected::bytes));
        write!(
            f,
            "\nin all: {} records, {} damaged, {bytes}",
            sum(Inspected::records),
            sum(Inspected::lost)
        )?;
        match &self.silence {
            None => write!(f, "; the store lacks {}", sum(|it| it.missing().unwrap_or(0))),
            Some(why) => write!(f, "\nhow much the store has is not known: {why}"),
        }
    }
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        let state = if report.sealed {
            "sealed"
        } else {
            "open or not sealed yet"
        };
        let (segments, bytes) = (report.segments.len(), ByteSize(self.bytes()));
        write!(f, "\n{} ({state}): ", report.id)?;
        if report.first > report.end {
            write!(f, "no records, {segments} segments, {bytes}")?;
        } else {
            let (first, end) = (report.first, report.end);
            write!(
                f,
                "{} records, {first} to {end}, {segments} segments, {bytes}",
                self.records()
            )?;
        }
        if report.seal_damaged {
            f.write_str("\n  DAMAGED: the mark of its end")?;
        }
        for path in &report.unusable {
            write!(f, "\n  DAMAGED: nothing can be told of {}", path.display())?;
        }
        for segment in report.segments.iter().filter(|it| it.lost > 0 || it.head_damaged) {
            let head = if segment.head_damaged { ", and its head" } else { "" };
            write!(
                f,
                "\n  DAMAGED: {} records of {}{head}",
                segment.lost,
                segment.path.display()
            )?;
        }
        if let (Some(watermark), Some(missing)) = (self.watermark, self.missing()) {
            write!(f, "\n  the store has it up to {watermark}, and lacks {missing} records")?;
        }
        Ok(())
    }
}

/// What a replay did.
#[derive(Debug, Clone, Copy)]
pub struct Replayed {
    tally: Tally,
    damaged: u64,
}

impl Replayed {
    /// For machines.
    pub fn to_json(self) -> Value {
        let Tally {
            records,
            repeats,
            refused,
            saturated,
            lost,
        } = self.tally;
        json!({
            "records": records, "repeats": repeats, "refused": refused, "saturated": saturated, "lost": lost,
            "damaged": self.damaged,
        })
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            records,
            repeats,
            refused,
            saturated,
            lost,
        } = self.tally;
        write!(
            f,
            "{records} records taken over, {repeats} of them repeats; {refused} rows refused and put aside"
        )?;
        if saturated > 0 {
            write!(f, "; {saturated} sums held at 2^63-1")?;
        }
        if lost > 0 {
            write!(f, "\nLOST: {lost} records, damaged or no longer kept in this journal")?;
        }
        f.write_str("\neverything that can be read is in the store")
    }
}

/// Nobody in this process holds quotas in memory.
struct Nobody;

impl TakeOver for Nobody {
    fn taken_over(&self, _: &BTreeMap<SubscriptionId, i64>, _: &[Quota]) {}
}

/// Takes over into the store of the settings what it lacks of this journal.
pub async fn replay(settings: &Settings, dir: &Path) -> anyhow::Result<Replayed> {
    let place = Place::of(dir)?;
    let _held = place.data_dir.as_deref().map(DataDir::hold).transpose()?;
    let clock = Clock::system();
    let journal = Journal::open_to_read(&place.journal, clock.clone(), Arc::new(RealDisk))?;
    data_dir::make(&settings.data_dir)?;
    let store: Arc<dyn Store> = Arc::new(InTime::new(stores::open(settings)?));
    store.migrate().await?;
    let instance = place.data_dir.as_deref().and_then(data_dir::kept_instance_id);
    let instance = instance.unwrap_or_else(|| NAMELESS.to_owned());
    let mut flush = Flush::new(journal.clone(), Arc::clone(&store), Arc::new(Nobody), (instance, clock));
    let drained = flush.drain().await;
    let tally = flush.tally();
    drained.with_context(|| {
        let (records, left) = (tally.records, flush.backlog());
        format!("after {records} records, with {left} left (run it again, it goes on from there)")
    })?;
    while store.roll_up().await? {}
    Ok(Replayed {
        tally,
        damaged: journal.health().damaged,
    })
}
