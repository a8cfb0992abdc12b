//! `GET /admin/events`: what happens, as server-sent events.

use std::{convert::Infallible, fmt::Write as _, future::pending, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data},
};
use futures_util::{future::LocalBoxFuture, stream};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    auth::admins::AdminAuthError,
    clock::Clock,
    events::Events,
    http::error::ApiError,
    model::{
        event::{Event, EventId},
        secrets::Role,
    },
};

use super::{Answer, Door, bearer, query};

/// So many may read along at once: dashboards of a handful of admins.
const STREAMS_MAX: usize = 64;

/// The most events of one piece. An event takes some 200 bytes, one with an error message at most 5 KiB: a piece is 320 KiB at the very most, and
/// the next is made only when the reader has taken this one.
const PIECE_EVENTS: usize = 64;

/// Every type that the stream may hold.
pub const TYPES: &[&str] = &[
    "user.online",
    "node.online",
    "node.offline",
    "node.unknown",
    "node.error",
    "node.synced",
    "node.clock_skew",
    "fleet.mass_loss",
    "fleet.recovered",
    "subscription.limited",
    "subscription.expired",
    "subscription.reset",
    "usage.rejected",
    "usage.suspect",
];

/// How often a stream shows that it lives, and how often it is looked whether its reader still may read.
#[derive(Debug, Clone, Copy)]
struct Pace {
    keep_alive: Duration,
    check: Duration,
}

const PACE: Pace = Pace {
    keep_alive: Duration::from_secs(15),
    check: Duration::from_secs(1),
};

/// What all streams have in common.
pub struct Feed {
    events: Events,
    /// The place before everything of this life of Core: who was further behind may have missed what was told before its start.
    began: EventId,
    seats: Arc<Semaphore>,
    /// True when Core stops: then every stream ends.
    stopping: watch::Receiver<bool>,
}

impl Feed {
    /// The streams of these events, until Core stops.
    pub fn new(events: Events, clock: &Clock, stopping: watch::Receiver<bool>) -> Self {
        let began = EventId {
            millis: clock.now().millis() - 1,
            number: u32::MAX,
        };
        Self {
            events,
            began,
            seats: Arc::new(Semaphore::new(STREAMS_MAX)),
            stopping,
        }
    }

    /// A stream of what comes after this event, or from now on. `may_read` is asked again and again: when it says no, the stream ends.
    fn open(&self, after: Option<EventId>, wanted: Wanted, pace: Pace, may_read: MayRead) -> Result<Stream, ApiError> {
        let full = || {
            ApiError::unavailable(format!(
                "{STREAMS_MAX} streams of events are open: that is all there are"
            ))
        };
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| full())?;
        if *self.stopping.borrow() {
            return Err(ApiError::unavailable("Core is stopping"));
        }
        let news = self.events.watch();
        let last = self.events.last();
        // A place that lies ahead is one from before the machine's clock was set back: what comes is later than that.
        let cursor = after.map_or(last, |after| after.min(last));
        let mut head = format!("retry: 2000\nid: {}\n\n", after.unwrap_or_else(|| last.max(self.began)));
        if after.is_some_and(|after| after < self.began) {
            missed(&mut head, cursor);
        }
        Ok(Stream {
            events: self.events.clone(),
            cursor,
            wanted,
            head: Some(head),
            news,
            stopping: self.stopping.clone(),
            keep_alive: ticks(pace.keep_alive),
            checks: ticks(pace.check),
            may_read,
            checking: None,
            _seat: seat,
        })
    }
}

/// Ticks that begin with a pause.
fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

/// Whether the reader still may read.
type MayRead = Box<dyn Fn() -> LocalBoxFuture<'static, bool>>;

/// Which types are wanted; none = all.
#[derive(Debug, PartialEq, Eq)]
struct Wanted(Option<Vec<&'static str>>);

impl Wanted {
    fn read(list: Option<&str>) -> Result<Self, ApiError> {
        let known = |name: &str| {
            let found = TYPES.iter().copied().find(|it| *it == name.trim());
            found.ok_or_else(|| ApiError::bad_request(format!("type must be some of {}", TYPES.join(","))))
        };
        let list = list.filter(|list| !list.is_empty());
        Ok(Self(list.map(|list| list.split(',').map(known).collect()).transpose()?))
    }

    fn has(&self, event: &Event) -> bool {
        let kind = event.what.kind();
        self.0.as_ref().is_none_or(|list| list.contains(&kind))
    }
}

/// Why a stream woke up.
enum Wake {
    News,
    CheckDue,
    /// The reader may go on.
    Checked,
    /// Nothing was said for long.
    Quiet,
    End,
}

/// One reader's stream: a cursor into the ring of events, so that a slow reader costs no memory.
struct Stream {
    events: Events,
    cursor: EventId,
    wanted: Wanted,
    head: Option<String>,
    news: watch::Receiver<EventId>,
    stopping: watch::Receiver<bool>,
    keep_alive: Interval,
    checks: Interval,
    may_read: MayRead,
    checking: Option<LocalBoxFuture<'static, bool>>,
    _seat: OwnedSemaphorePermit,
}

impl Stream {
    /// The next piece of the body; none at its end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(head) = self.head.take() {
            return Some(head.into());
        }
        loop {
            if *self.stopping.borrow() {
                return None;
            }
            self.news.borrow_and_update();
            let piece = self.piece();
            if !piece.is_empty() {
                return Some(piece.into());
            }
            match self.wake().await {
                Wake::News => {}
                Wake::CheckDue => self.begin_check(),
                Wake::Checked => self.checking = None,
                Wake::Quiet => return Some(Bytes::from_static(b": I live\n\n")),
                Wake::End => return None,
            }
        }
    }

    /// Waits for something to do.
    async fn wake(&mut self) -> Wake {
        let checked = async {
            match &mut self.checking {
                Some(checking) => checking.await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => Wake::End,
            may_read = checked => if may_read { Wake::Checked } else { Wake::End },
            changed = self.news.changed() => if changed.is_ok() { Wake::News } else { Wake::End },
            _ = self.checks.tick() => Wake::CheckDue,
            _ = self.keep_alive.tick() => Wake::Quiet,
        }
    }

    /// One check at a time, however long it takes.
    fn begin_check(&mut self) {
        if self.checking.is_none() {
            self.checking = Some((self.may_read)());
        }
    }

    /// What came since the cursor and is wanted, as text; empty if that is nothing.
    fn piece(&mut self) -> String {
        let mut piece = String::new();
        loop {
            let later = self.events.after(self.cursor, PIECE_EVENTS);
            if later.missed {
                missed(&mut piece, self.cursor);
            }
            for event in later.events.iter().filter(|event| self.wanted.has(event)) {
                put(&mut piece, event);
            }
            let Some(last) = later.events.last() else { return piece };
            self.cursor = last.id;
            if !piece.is_empty() {
                return piece;
            }
        }
    }
}

fn put(piece: &mut String, event: &Event) {
    let Event { id, what, .. } = event;
    // Writing to a text can't fail; JSON has no line ends.
    let _ok = write!(piece, "id: {id}\nevent: {}\ndata: {}\n\n", what.kind(), event.to_json());
}

/// Says that there was more than is kept. It has no id: the reader's place stays that of the last event.
fn missed(piece: &mut String, after: EventId) {
    let _ok = write!(
        piece,
        ": events after {after} are no longer kept: read the state anew\nevent: missed\ndata: {{\"after\":\"{after}\"}}\n\n"
    );
}

#[derive(Deserialize)]
struct EventsQuery {
    after: Option<String>,
    r#type: Option<String>,
}

/// `GET /admin/events?after=&type=`
pub async fn events(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let EventsQuery { after, r#type } = query(&request)?;
    let wanted = Wanted::read(r#type.as_deref())?;
    let header = request
        .headers()
        .get("last-event-id")
        .map(|id| id.to_str().unwrap_or("?").to_owned());
    let place = |name: &str, text: String| {
        let bad = || ApiError::bad_request(format!("{name} must be an event's id, such as 1764000000000-0"));
        text.trim().parse::<EventId>().map_err(|()| bad())
    };
    let named = [("Last-Event-ID", header), ("after", after)].into_iter();
    let named = named.filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?)));
    let after = named.map(|(name, text)| place(name, text)).next().transpose()?;
    let stream = door.feed.open(after, wanted, PACE, check(&door, &request))?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        // So that a stop need not wait for a connection that could be used again.
        .force_close()
        .streaming(stream::unfold(stream, |mut stream| async move {
            let piece = stream.next().await?;
            Some((Ok::<_, Infallible>(piece), stream))
        })))
}

/// Looks whether the token still is good. While the store can't say, the reader stays.
fn check(door: &Data<Door>, request: &HttpRequest) -> MayRead {
    let (door, token) = (door.clone(), bearer(request).map(SecretString::from));
    Box::new(move || {
        let (door, token) = (door.clone(), token.clone());
        Box::pin(async move {
            let token = token.as_ref().map(ExposeSecret::expose_secret);
            let admitted = door.admins.known(token, Role::Viewer).await;
            matches!(admitted, Ok(_) | Err(AdminAuthError::Store(_)))
        })
    })
}

#[cfg(test)]
mod tests;
