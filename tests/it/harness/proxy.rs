//! A proxy before any server on loopback that does to its connections what networks do: nothing, cut, slow, silent, or cut at the worst moment.

mod commits;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use commits::{Answers, Commits};

use super::{eventually, ports::quiet_port};

/// How much is read at once.
const PIECE_BYTES: usize = 16 << 10;

/// Pieces that are late and still to be passed on: 16 MB a connection.
const LATE_PIECES: usize = 1_024;

/// A throttled stream moves on so many times a second.
const THROTTLED_STEPS: u32 = 20;

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// All connections are closed, and new ones refused.
    Cut,
    /// Everything that the server says arrives so much later.
    Delay(Duration),
    /// At most so many bytes a second, each way of each connection.
    Throttle(u32),
    /// Connections are accepted; what is said is lost, either way. What was connected then is cut when it ends.
    BlackHole,
    /// Connections of PostgreSQL are cut at a COMMIT: at every so-manieth, counted over all of them.
    CutAtCommit(Moment, u64),
}

/// When exactly a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The server never hears the COMMIT.
    Before,
    /// The server is told, nobody waits for it.
    Told,
    /// The server has done it; its answer is lost.
    Done,
}

/// The proxy; its connections and tasks end with it.
pub struct Proxy {
    port: u16,
    fault: watch::Sender<Fault>,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// What its connections share.
struct Shared {
    server: u16,
    commits: AtomicU64,
    cuts: AtomicU64,
    accepted: AtomicU64,
}

impl Proxy {
    /// Before the server that listens on this port, or will.
    pub async fn before(server: u16) -> Self {
        let port = quiet_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let fault = watch::Sender::new(Fault::Pass);
        let shared = Arc::new(Shared {
            server,
            commits: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, port, Arc::clone(&shared), fault.subscribe()));
        Self {
            port,
            fault,
            shared,
            accepting: accepting.abort_handle(),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, for all connections. Gives back when new ones meet it.
    pub async fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
        eventually("the proxy's new mood", || async {
            let open = TcpStream::connect(("127.0.0.1", self.port)).await.is_ok();
            (open != (fault == Fault::Cut)).then_some(())
        })
        .await;
    }

    /// How many connections were cut at a COMMIT.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(SeqCst)
    }

    /// How many connections it has taken, those that ask whether it is there among them.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its connections are its task's.
        self.accepting.abort();
    }
}

async fn accept(mut listener: TcpListener, port: u16, shared: Arc<Shared>, mut fault: watch::Receiver<Fault>) {
    let mut connections = JoinSet::new();
    loop {
        if *fault.borrow_and_update() == Fault::Cut {
            connections.shutdown().await;
            drop(listener);
            if fault.wait_for(|fault| *fault != Fault::Cut).await.is_err() {
                return;
            }
            listener = TcpListener::bind(("127.0.0.1", port))
                .await
                .expect("nobody takes a quiet port");
        }
        tokio::select! {
            client = listener.accept() => {
                let (client, _) = client.expect("files are left");
                shared.accepted.fetch_add(1, SeqCst);
                connections.spawn(serve(client, Arc::clone(&shared), fault.clone()));
            }
            changed = fault.changed() => if changed.is_err() {
                return;
            },
            Some(ended) = connections.join_next() => ended.expect("a connection ends well"),
        }
    }
}

/// Serves one connection until either side ends it, or the fault.
async fn serve(client: TcpStream, shared: Arc<Shared>, mut fault: watch::Receiver<Fault>) {
    if *fault.borrow_and_update() == Fault::BlackHole {
        return swallow(client, fault).await;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)).await else {
        return;
    };
    if client
        .set_nodelay(true)
        .and_then(|()| server.set_nodelay(true))
        .is_err()
    {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (told, tell) = watch::channel(false);
    // Whichever way ends first ends the other: half a connection is no use to anybody.
    tokio::select! {
        () = up(from_client, to_server, &shared, fault.clone(), told) => {}
        () = down(from_server, to_client, &shared, fault.clone(), tell) => {}
        // The answers to what was lost would never come.
        _ = passed_over(fault) => {}
    }
}

/// Reads and says nothing while the hole is there.
async fn swallow(mut client: TcpStream, mut fault: watch::Receiver<Fault>) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        tokio::select! {
            read = client.read(&mut piece) => if !matches!(read, Ok(1..)) {
                return;
            },
            over = fault.wait_for(|fault| *fault != Fault::BlackHole) => {
                drop(over);
                return;
            }
        }
    }
}

/// Waits for the end of a black hole.
async fn passed_over(mut fault: watch::Receiver<Fault>) -> Option<()> {
    fault.wait_for(|fault| *fault == Fault::BlackHole).await.ok()?;
    fault.wait_for(|fault| *fault != Fault::BlackHole).await.ok()?;
    Some(())
}

/// What the client says.
async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    fault: watch::Receiver<Fault>,
    told: watch::Sender<bool>,
) {
    let mut commits = Commits::default();
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let said = &piece[..length];
        let is_commit = commits.hear(said);
        let now = *fault.borrow();
        if now == Fault::BlackHole {
            continue;
        }
        if let Some(moment) = cut_now(now, is_commit, shared) {
            if moment != Moment::Before && to.write_all(said).await.is_err() {
                return;
            }
            if moment != Moment::Done {
                shared.cuts.fetch_add(1, SeqCst);
                return;
            }
            told.send_replace(true);
            continue;
        }
        if pass(&mut to, said, now).await.is_err() {
            return;
        }
    }
}

/// When the connection is cut, if this is a COMMIT whose turn it is.
fn cut_now(fault: Fault, is_commit: bool, shared: &Shared) -> Option<Moment> {
    let Fault::CutAtCommit(moment, every) = fault else {
        return None;
    };
    (is_commit && (shared.commits.fetch_add(1, SeqCst) + 1).is_multiple_of(every)).then_some(moment)
}

/// What the server answers.
async fn down(
    mut from: OwnedReadHalf,
    to: OwnedWriteHalf,
    shared: &Shared,
    fault: watch::Receiver<Fault>,
    tell: watch::Receiver<bool>,
) {
    let (late, pieces) = mpsc::channel(LATE_PIECES);
    let hear = async {
        let mut answers = Answers::default();
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            let said = &piece[..length];
            let is_committed = answers.hear(said);
            if is_committed && *tell.borrow() {
                shared.cuts.fetch_add(1, SeqCst);
                return;
            }
            let now = *fault.borrow();
            let delay = if let Fault::Delay(delay) = now {
                delay
            } else {
                Duration::ZERO
            };
            if now != Fault::BlackHole && late.send((sleep(delay), said.to_vec(), now)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = hear => {}
        () = pass_when_due(pieces, to) => {}
    }
}

/// Passes pieces on, each when its time has come.
async fn pass_when_due(mut pieces: mpsc::Receiver<(tokio::time::Sleep, Vec<u8>, Fault)>, mut to: OwnedWriteHalf) {
    while let Some((due, piece, fault)) = pieces.recv().await {
        due.await;
        if pass(&mut to, &piece, fault).await.is_err() {
            return;
        }
    }
}

async fn pass(to: &mut OwnedWriteHalf, piece: &[u8], fault: Fault) -> std::io::Result<()> {
    let Fault::Throttle(rate) = fault else {
        return to.write_all(piece).await;
    };
    let step = (rate / THROTTLED_STEPS).max(1);
    for part in piece.chunks(step as usize) {
        to.write_all(part).await?;
        let part = u32::try_from(part.len()).expect("a piece is small");
        sleep(Duration::from_secs(1) * part / rate).await;
    }
    Ok(())
}
