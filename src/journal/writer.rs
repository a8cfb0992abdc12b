//! The thread that writes: it takes all that waits, writes it, makes it durable, and answers.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    AppendError,
    disk::{DiskFile, write_all},
    layout,
    maker::Maker,
    record::{self, Seed},
    shared::Shared,
};
use crate::model::Position;

/// How much one `fdatasync` covers at most: 4 MiB, some thousand reports of 100 rows. A single larger record goes alone.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An append that waits for its answer. The answer may find nobody: who asked can have gone away.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Room for a head, and the payload.
    pub frame: Vec<u8>,
    pub answer: oneshot::Sender<Result<Position, AppendError>>,
    /// Its room in the queue, given back when this is dropped.
    #[expect(dead_code, reason = "it is held, not read")]
    pub room: OwnedSemaphorePermit,
}

/// The writer of the open generation.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Waiting>,
    maker: Maker,
    seed: Seed,
    /// The segment that is written; none: the next append needs a new one.
    open: Option<Open>,
    /// The last durable position.
    end: Position,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: Arc<dyn DiskFile>,
    offset: u64,
    bytes: u64,
}

impl Open {
    const fn room(&self) -> u64 {
        self.bytes - self.offset
    }
}

impl Writer {
    pub fn new(shared: Arc<Shared>, queue: mpsc::Receiver<Waiting>, maker: Maker) -> Self {
        Self {
            seed: Seed::of(shared.id),
            shared,
            queue,
            maker,
            open: None,
            end: Position::START,
            buffer: Vec::new(),
        }
    }

    /// Writes until the queue is closed and empty.
    pub fn run(mut self) {
        self.maker.prepare();
        while let Some(first) = self.queue.blocking_recv() {
            let waiting = self.take_all_after(first);
            self.write(waiting);
        }
        self.maker.discard();
    }

    fn take_all_after(&mut self, first: Waiting) -> VecDeque<Waiting> {
        let mut bytes = first.frame.len();
        let mut waiting = VecDeque::from([first]);
        while bytes < GROUP_BYTES_MAX {
            let Ok(next) = self.queue.try_recv() else { break };
            bytes += next.frame.len();
            waiting.push_back(next);
        }
        waiting
    }

    fn write(&mut self, mut waiting: VecDeque<Waiting>) {
        // What a segment of this size was refused for, so that a full disk is asked once a turn.
        let mut refused: Option<(u64, AppendError)> = None;
        while let Some(first) = waiting.front() {
            let needed = first.frame.len() as u64;
            if self.open.as_ref().is_none_or(|open| open.room() < needed) {
                let bytes = self.shared.options.segment_bytes.max(layout::RECORDS + needed);
                let made = match &refused {
                    Some((size, why)) if bytes >= *size => Err(why.clone()),
                    _ => self.next_segment(bytes),
                };
                if let Err(why) = made {
                    self.refuse(waiting.pop_front(), &why);
                    refused = Some((bytes, why));
                    continue;
                }
            }
            let group = self.fill(&mut waiting);
            self.commit(group);
        }
    }

    /// Puts as many records as fit into the buffer.
    fn fill(&mut self, waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
        let room = self.open.as_ref().map_or(0, Open::room);
        let mut group = Vec::new();
        self.buffer.clear();
        let mut position = self.end;
        while let Some(next) = waiting.front() {
            let bytes = self.buffer.len() + next.frame.len();
            let fits = bytes as u64 <= room && (group.is_empty() || bytes <= GROUP_BYTES_MAX);
            let Some(mut next) = fits.then(|| waiting.pop_front()).flatten() else {
                break;
            };
            position = position.next();
            record::finish(&mut next.frame, self.seed, position);
            self.buffer.extend_from_slice(&next.frame);
            group.push(next);
        }
        group
    }

    /// Makes the buffer durable, then visible, then answers.
    fn commit(&mut self, group: Vec<Waiting>) {
        let Some(open) = &mut self.open else { return };
        if let Err(error) = write_all(&*open.file, &self.buffer, open.offset).and_then(|()| open.file.sync_data()) {
            tracing::error!(%error, after = %self.end, "the journal could not be written; it goes on in a new segment");
            self.give_up(group, &error.into());
            return;
        }
        open.offset += self.buffer.len() as u64;
        let mut position = self.end;
        self.end = Position(self.end.0 + group.len() as u64);
        self.shared.durable.send_replace(self.end);
        self.shared.writable.store(true, Ordering::Relaxed);
        for waiting in group {
            position = position.next();
            waiting.answer.send(Ok(position)).ok();
        }
        // One very large record must not hold its memory for ever.
        self.buffer.shrink_to(GROUP_BYTES_MAX);
    }

    /// Nothing is written to this segment any more: after a failed write or `fdatasync`, nobody knows what is on the disk.
    fn give_up(&mut self, group: Vec<Waiting>, why: &AppendError) {
        self.open = None;
        if let Some((path, bytes)) = self.shared.drop_last_if_empty(self.end) {
            self.maker.forget(&path, bytes);
        }
        for waiting in group {
            self.refuse(Some(waiting), why);
        }
    }

    fn refuse(&self, waiting: Option<Waiting>, why: &AppendError) {
        self.shared.writable.store(false, Ordering::Relaxed);
        if let Some(waiting) = waiting {
            waiting.answer.send(Err(why.clone())).ok();
        }
    }

    /// Goes on in a new segment. Until its name is written, the present one stays as it is; from then on it is closed, whatever comes of
    /// the new one, since a reader may find that.
    fn next_segment(&mut self, bytes: u64) -> Result<(), AppendError> {
        let first = self.end.next();
        let blank = self.maker.blank(bytes)?;
        let blank = self.maker.head(blank, first)?;
        if let Some(closed) = self.open.take() {
            self.shared.close_last(&*closed.file);
        }
        let made = self.maker.name(blank)?;
        self.shared.add_segment(made.path, first, made.bytes);
        self.open = Some(Open {
            file: made.file,
            offset: layout::RECORDS,
            bytes: made.bytes,
        });
        self.maker.prepare();
        Ok(())
    }
}
