//! The journal: what Core promised to keep, on the disk before it answers.
//!
//! A journal is a directory of *generations*. Each [`Journal::open`] begins one, under a random id of its own and with positions from 1
//! on, and seals those that were there: nothing is ever added to them again, but they stay readable until they are trimmed. So a data
//! folder that was cloned, restored or emptied never goes on under an id that something else may write under too. Two clones of one
//! folder write under different ids, and what both hold in older generations is the same records under the same id: the store's
//! watermark for that id counts them once.
//!
//! A generation is a row of *segments*, files of zeros that records are written over, so that `fdatasync` has no metadata to move. One
//! thread writes: it takes all appends that wait, writes them at once, makes them durable with one `fdatasync`, then makes them
//! visible, then answers.
//!
//! What a reader believes:
//!
//! - In the last segment of a generation that was not sealed, the first bad record is the end: a crash tore the write, and nothing behind
//!   it was acknowledged.
//! - In every other segment, and in the last one too once the generation is sealed, the end is known. What is not whole before it is
//!   damage: said loudly, counted, and the file kept as `*.quarantined`. The records around it are still given; none that is not whole
//!   ever is.
//! - A segment ends before the first position of the next one. After a failed `fdatasync` nothing is written to that segment any more, and
//!   the next one begins after the last durable position: records of the failed group that are on the disk all the same don't count.

mod columns;
mod disk;
mod error;
mod inspect;
mod layout;
mod ledger;
mod maker;
mod parts;
mod payload;
mod quarantine;
mod read;
mod reading;
mod record;
mod recover;
mod scan;
mod shared;
mod survey;
mod trim;
mod writer;

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{AppendError, JournalError};
pub use inspect::{GenerationReport, SegmentReport, inspect};
pub use parts::Part;

use crate::{
    clock::Clock,
    model::{JournalId, Position, Time, entry::Entry},
};
use ledger::{Budget, Volume, locked};
use maker::Maker;
use quarantine::Quarantine;
use recover::Recovery;
use shared::Shared;
use writer::{Waiting, Writer};

/// Room in the queue to the writer, in KiB: 64 MiB, as much as the largest record and what an SSD writes in about a tenth of a second.
/// An append takes at least 1, so that no more than 65,536 wait.
const QUEUE_KIB: usize = 64 * 1024;

/// How long an append waits for room in the queue. The disk has then stood still, or been too slow by 64 MiB, for as long.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// The smallest segment that makes sense: one page.
const SEGMENT_BYTES_MIN: u64 = 4096;

/// The largest segment: half of what is read into memory when one is damaged.
const SEGMENT_BYTES_MAX: u64 = survey::FILE_BYTES_MAX / 2;

/// How a journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The size of a segment. A record that is larger gets one of its own size.
    pub segment_bytes: u64,
    /// The most that all segments of all generations may take on the disk, the one prepared ahead included.
    pub max_bytes: u64,
    /// For how long segments are kept after they were closed, even if they are flushed.
    pub keep: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1024 * 1024,
            max_bytes: 10 * 1024 * 1024 * 1024,
            keep: Duration::from_hours(48),
        }
    }
}

/// An open journal. Cheap to clone; the last clone that goes closes it.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// None: closed.
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    /// Counts what is in the queue, in KiB: the queue itself is never full.
    room: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lock: File,
}

/// One generation of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// Its id.
    pub id: JournalId,
    /// The first position that is kept; behind `end` if there is none.
    pub first: Position,
    /// The last position; of the open generation, the last durable one.
    pub end: Position,
    /// Appends go to this one.
    pub open: bool,
}

/// How much to read at most. At least one entry is given when there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Rows of reports, those that were put aside included. An entry without any counts as one.
    pub rows: usize,
    /// Bytes of records.
    pub bytes: usize,
}

/// A piece of a generation. `entries` and `lost` together are all positions after the one asked for, up to `upto`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Piece {
    /// In order.
    pub entries: Vec<(Position, Entry)>,
    /// The last position covered, over damaged ones too; the one asked for when nothing is after it.
    pub upto: Position,
    /// Positions covered that no entry is there for: damaged, or trimmed before they were read.
    pub lost: u64,
}

/// How a journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The last append that came to the writer was written. An append is tried whatever this says, and only a try (or a trim) can make
    /// it true again: nothing may be held back because of it.
    pub writable: bool,
    /// What the segments of all generations take on the disk.
    pub bytes: u64,
    /// The last durable position of the open generation.
    pub end: Position,
    /// Records lost to damage that was found since the start.
    pub damaged: u64,
}

impl Journal {
    /// Opens the journal in `dir`, which is made if it is not there: seals the generations that are there, and begins a new one. A full
    /// disk does not stop this; it only refuses appends.
    pub fn open(dir: &Path, options: Options, clock: Clock, disk: Arc<dyn Disk>) -> Result<Self, JournalError> {
        check(&options)?;
        make_dir(dir, &*disk).map_err(JournalError::io("make", dir))?;
        let lock = lock(dir)?;
        let quarantine = Quarantine::new(dir.to_owned());
        let recovered = Recovery {
            dir,
            disk: &*disk,
            quarantine: &quarantine,
            now: clock.now(),
        }
        .run()?;
        let id = JournalId::random();
        let mut volumes = recovered.volumes;
        let used = volumes
            .iter()
            .flat_map(|it| &it.segments)
            .map(|it| it.segment.bytes)
            .sum();
        let path = dir.join(layout::generation_name(recovered.next_number, id));
        volumes.push(Volume::open(id, path.clone()));
        let shared = Arc::new(Shared {
            id,
            budget: Budget::new(used, options.max_bytes),
            options,
            clock,
            disk,
            volumes: Mutex::new(volumes),
            quarantine,
            writable: AtomicBool::new(true),
            durable: watch::Sender::new(Position::START),
        });
        let (queue, waiting) = mpsc::channel(QUEUE_KIB);
        let writer = Writer::new(Arc::clone(&shared), waiting, Maker::new(Arc::clone(&shared), path));
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(JournalError::io("start the writer of", dir))?;
        Ok(Self(Arc::new(Handle {
            shared,
            queue: Mutex::new(Some(queue)),
            room: Arc::new(Semaphore::new(QUEUE_KIB)),
            thread: Mutex::new(Some(thread)),
            lock,
        })))
    }

    /// Opens the journal in `dir`, which must be there, only to read what is in it: no generation begins, nothing is sealed, cut off or
    /// removed. Each generation ends where a start would seal it. Nobody else can open it meanwhile.
    pub fn open_to_read(dir: &Path, clock: Clock, disk: Arc<dyn Disk>) -> Result<Self, JournalError> {
        reading::open(dir, clock, disk)
    }

    /// The id of the open generation.
    pub fn id(&self) -> JournalId {
        self.0.shared.id
    }

    /// Adds an entry. When this gives a position, the entry is durable and can be read. A caller that goes away before may find it there
    /// or not.
    ///
    /// # Panics
    /// Outside a tokio runtime that has a timer.
    pub async fn append(&self, entry: &Entry) -> Result<Position, AppendError> {
        let frame = payload::encode(entry);
        let bytes = frame.len() - record::HEAD;
        if bytes > record::PAYLOAD_MAX {
            let max = record::PAYLOAD_MAX;
            return Err(AppendError::TooLarge { bytes, max });
        }
        let room = self.0.room_for(frame.len()).await?;
        let (answer, answered) = oneshot::channel();
        self.0.enqueue(Waiting { frame, answer, room })?;
        answered.await.unwrap_or(Err(AppendError::Closed))
    }

    /// All generations, oldest first; the last is the open one.
    pub fn generations(&self) -> Vec<Generation> {
        let durable = self.0.shared.durable();
        let volumes = locked(&self.0.shared.volumes);
        volumes.iter().map(|it| it.describe(durable)).collect()
    }

    /// Reads what comes after a position; only what is durable. Blocks while it reads. Reading on from where the last call stopped costs no
    /// search.
    pub fn read_after(&self, journal: JournalId, after: Position, limit: ReadLimit) -> Result<Piece, JournalError> {
        let upto = Position(u64::MAX);
        self.read_part(Part { journal, after, upto }, limit)
    }

    /// What is kept and durable of a generation after a position, in parts that can be read at the same time: each is in a file of its own.
    pub fn parts(&self, journal: JournalId, after: Position) -> Result<Vec<Part>, JournalError> {
        parts::parts(&self.0.shared, journal, after)
    }

    /// As [`Self::read_after`], to the end of a part. Blocks.
    pub fn read_part(&self, part: Part, limit: ReadLimit) -> Result<Piece, JournalError> {
        read::read(&self.0.shared, part, limit)
    }

    /// Removes what the store has taken over: segments up to `flushed` that were closed longer ago than they are to be kept, and sealed
    /// generations when all of their segments are gone. Blocks.
    pub fn trim(&self, journal: JournalId, flushed: Position, now: Time) -> Result<(), JournalError> {
        trim::trim(&self.0.shared, journal, flushed, now)
    }

    /// Follows the last durable position of the open generation.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.0.shared.durable.subscribe()
    }

    /// How the journal is.
    pub fn health(&self) -> Health {
        let shared = &self.0.shared;
        let running = locked(&self.0.queue).as_ref().is_some_and(|queue| !queue.is_closed());
        Health {
            writable: running && shared.writable.load(Ordering::Relaxed),
            bytes: shared.budget.used(),
            end: shared.durable(),
            damaged: shared.quarantine.lost(),
        }
    }

    /// Writes what waits, and ends the writer. Later appends are refused; reading goes on. Blocks.
    pub fn close(&self) {
        self.0.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Journal").field(&self.id()).finish()
    }
}

impl Handle {
    async fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let kib = u32::try_from(bytes.div_ceil(1024).min(QUEUE_KIB)).unwrap_or(u32::MAX);
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kib) {
            return Ok(room);
        }
        let room = Arc::clone(&self.room).acquire_many_owned(kib);
        match tokio::time::timeout(QUEUE_WAIT, room).await {
            Ok(room) => room.map_err(|_| AppendError::Closed),
            Err(_) => Err(AppendError::Busy),
        }
    }

    fn enqueue(&self, waiting: Waiting) -> Result<(), AppendError> {
        let queue = locked(&self.queue);
        let queue = queue.as_ref().ok_or(AppendError::Closed)?;
        queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AppendError::Busy,
            mpsc::error::TrySendError::Closed(_) => AppendError::Closed,
        })
    }

    fn close(&self) {
        self.room.close();
        locked(&self.queue).take();
        let mut thread = locked(&self.thread);
        if thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's writer had panicked");
        }
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the journal's lock could not be given back");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

fn check(options: &Options) -> Result<(), JournalError> {
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&options.segment_bytes) {
        return Err(JournalError::Options("a segment has 4 KiB to 64 MiB"));
    }
    if options.max_bytes < options.segment_bytes {
        return Err(JournalError::Options("it must have room for one segment"));
    }
    Ok(())
}

/// Makes the directory, and those above it, so that they are still there after a power failure.
fn make_dir(dir: &Path, disk: &dyn Disk) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|it| !it.exists()).count();
    fs::create_dir_all(dir)?;
    for parent in dir.ancestors().skip(1).take(missing) {
        let here = parent.as_os_str().is_empty();
        disk.sync_dir(if here { Path::new(".") } else { parent })?;
    }
    Ok(())
}

/// Two writers would not harm each other's generations, but each would seal the other's while it is still written.
fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(layout::LOCK);
    let open = File::options().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(JournalError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &path)(error)),
    }
}
