//! What a peer may do with a connection, of all listeners: how long it may keep Core waiting, and how much it may ask for at once.
//!
//! A connection is either Core's turn (a whole request is being answered) or the peer's: it has yet to send a request, the rest of one,
//! or to take what was written for it. Core's turn takes as long as it takes; the peer's ends the connection when it is over.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::clock::Stopwatch;

/// The limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte of TLS to its last.
    pub handshake: Duration,
    /// From then to the end of a first whole request.
    pub first_request: Duration,
    /// After that: without a new whole request, and without taking anything of an answer.
    pub idle: Duration,
    /// Calls at once on one gRPC connection.
    pub streams: u32,
    /// Names and values of a request's headers.
    pub header_bytes: u32,
    /// HTTP/2 streams that were reset before they were looked at; more than these end the connection.
    pub resets: usize,
    /// A silent gRPC peer is asked so often whether it lives,
    pub ping_every: Duration,
    /// and has so long to say so.
    pub ping_wait: Duration,
    /// A gRPC connection that is older is asked to go, so that a fleet spreads again over instances and shards. Up to a tenth more, so
    /// that connections which came together do not go together.
    pub age: Duration,
    /// Who was asked to go has so long to finish what is in flight.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(90),
            streams: 256,
            header_bytes: 16 << 10,
            resets: 20,
            ping_every: Duration::from_secs(30),
            ping_wait: Duration::from_secs(20),
            age: Duration::from_mins(30),
            grace: Duration::from_secs(30),
        }
    }
}

/// Whose turn it is on a connection, and since when.
#[derive(Debug)]
pub struct Turns {
    began: Stopwatch,
    /// Whole requests that Core works on.
    working: AtomicU32,
    /// Answers that are not written to their end.
    answering: AtomicU32,
    /// One was whole.
    any: AtomicBool,
    /// When the peer last got the turn, or took something of an answer: milliseconds since the beginning.
    moved: AtomicU64,
    /// The last thing that was written was not taken.
    stuck: AtomicBool,
    /// Bytes that may be read before others have their turn; at first more than can ever come.
    room: AtomicU64,
    /// More would have been read.
    starved: AtomicBool,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            began: Stopwatch::start(),
            working: AtomicU32::new(0),
            answering: AtomicU32::new(0),
            any: AtomicBool::new(false),
            moved: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            room: AtomicU64::new(u64::MAX),
            starved: AtomicBool::new(false),
        }
    }
}

impl Turns {
    /// A request begins.
    pub fn begin(self: &Arc<Self>) -> Arc<Turn> {
        Arc::new(Turn {
            all: Arc::clone(self),
            at: AtomicU8::new(READING),
        })
    }

    /// Whether Core works on a whole request, or its answer is not written to its end.
    pub fn is_busy(&self) -> bool {
        self.working.load(Relaxed) > 0 || self.answering.load(Relaxed) > 0
    }

    /// Whether a request was ever whole.
    pub fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Whether the peer takes nothing just now, though there is something for it.
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed)
    }

    /// The peer did not take what was written, or takes something again.
    pub fn stick(&self, stuck: bool) {
        self.stuck.store(stuck, Relaxed);
    }

    /// From now on about so many bytes are read at most.
    pub fn let_read(&self, bytes: u64) {
        self.room.store(bytes, Relaxed);
        self.starved.store(false, Relaxed);
    }

    /// Whether more would have been read since then.
    pub fn is_starved(&self) -> bool {
        self.starved.load(Relaxed)
    }

    /// Whether something may be read now. If not, who reads has to come again by himself: nothing will wake him.
    pub fn may_read(&self) -> bool {
        let may = self.room.load(Relaxed) > 0;
        if !may {
            self.starved.store(true, Relaxed);
        }
        may
    }

    /// So much was read.
    pub fn has_read(&self, bytes: u64) {
        let room = self.room.load(Relaxed);
        self.room.store(room.saturating_sub(bytes), Relaxed);
    }

    /// Comes back when the peer has kept Core waiting for too long.
    pub async fn over(&self, limits: &Limits) {
        while let Some(wait) = self.left(limits) {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long the peer has at least.
    fn left(&self, limits: &Limits) -> Option<Duration> {
        if self.working.load(Relaxed) > 0 {
            return Some(limits.idle);
        }
        let end = if self.any() {
            Duration::from_millis(self.moved.load(Relaxed)) + limits.idle
        } else {
            limits.first_request
        };
        // A timer may be early by less than its grain.
        end.checked_sub(self.began.elapsed())
            .filter(|left| !left.is_zero())
            .map(|left| left + Duration::from_millis(1))
    }

    fn moves(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Relaxed);
    }

    fn wrote(&self) {
        if self.answering.load(Relaxed) > 0 {
            self.moves();
        }
    }
}

/// A request, from its head to the end of its answer.
#[derive(Debug)]
pub struct Turn {
    all: Arc<Turns>,
    at: AtomicU8,
}

/// How far a request is: its peer sends it, Core works on it, its peer takes the answer.
const READING: u8 = 0;
const WORKING: u8 = 1;
const ANSWERING: u8 = 2;

impl Turn {
    /// The request is whole: now Core works.
    pub fn whole(&self) {
        if self.at.compare_exchange(READING, WORKING, Relaxed, Relaxed).is_ok() {
            self.all.working.fetch_add(1, Relaxed);
            self.all.any.store(true, Relaxed);
        }
    }

    /// The answer is there: now the peer has to take it.
    pub fn answered(&self) {
        self.whole();
        if self.at.compare_exchange(WORKING, ANSWERING, Relaxed, Relaxed).is_ok() {
            self.all.moves();
            self.all.answering.fetch_add(1, Relaxed);
            self.all.working.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let counted = match *self.at.get_mut() {
            WORKING => Some(&self.all.working),
            ANSWERING => Some(&self.all.answering),
            _ => None,
        };
        if let Some(counted) = counted {
            self.all.moves();
            counted.fetch_sub(1, Relaxed);
        }
    }
}

/// A connection, as plain text or behind TLS.
#[derive(Debug)]
pub struct Stream {
    wire: Wire,
    turns: Arc<Turns>,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Takes a connection: shakes hands, if that is what is spoken here.
    pub async fn open(tcp: TcpStream, tls: Option<&TlsAcceptor>, limits: &Limits) -> io::Result<Self> {
        let wire = match tls {
            None => Wire::Plain(tcp),
            Some(tls) => {
                let shaken = tokio::time::timeout(limits.handshake, tls.accept(tcp)).await;
                let shaken = shaken.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no handshake in time"))?;
                Wire::Tls(Box::new(shaken?))
            }
        };
        Ok(Self {
            wire,
            turns: Arc::default(),
        })
    }

    /// Whose turn it is.
    pub fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }

    /// The TCP connection below.
    pub fn tcp(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(tls) => tls.get_ref().0,
        }
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.turns.stick(written.is_pending());
        if matches!(written, Poll::Ready(Ok(bytes)) if bytes > 0) {
            self.turns.wrote();
        }
        written
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.turns.may_read() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Wire::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        };
        self.turns.has_read((buffer.filled().len() - before) as u64);
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Wire::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        };
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Wire::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, pieces),
        };
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(tcp) => tcp.is_write_vectored(),
            Wire::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Wire::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Wire::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_peer_s_turn_is_limited() {
        let none = Limits {
            first_request: Duration::ZERO,
            idle: Duration::ZERO,
            ..Limits::default()
        };
        let patient = Limits::default();
        let turns = Arc::new(Turns::default());
        assert!(turns.left(&none).is_none() && turns.left(&patient) <= Some(Duration::from_millis(10_001)));
        let turn = turns.begin();
        assert!(turns.left(&none).is_none(), "half a request is the peer's turn");
        turn.whole();
        assert!(turns.left(&none).is_some() && turns.any());
        turn.answered();
        assert!(turns.left(&none).is_none(), "the answer has to be taken");
        assert!(turns.left(&patient) > Some(patient.first_request));
        drop(turn);
        let dropped = turns.begin();
        dropped.whole();
        drop(dropped);
        assert!(turns.left(&none).is_none(), "nobody works on a call that was given up");
    }
}
