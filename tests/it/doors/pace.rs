//! A fleet that calls at a steady pace, and attackers beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};
use vpn_core::{clock::Stopwatch, proto::nodeservice::HeartbeatRequest};

use crate::harness::rpc::Agent;

/// Heartbeats of the fleet come so often: 200 a second.
const EVERY: Duration = Duration::from_millis(5);

/// Tells when each call is due, on a thread of its own: tokio's timers are as coarse as what is measured.
fn due(span: Duration) -> (Stopwatch, mpsc::Receiver<Duration>) {
    let (tell, due) = mpsc::channel(1_024);
    let watch = Stopwatch::start();
    std::thread::spawn(move || {
        let mut at = Duration::ZERO;
        while at < span {
            if let Some(wait) = at.checked_sub(watch.elapsed()) {
                #[allow(clippy::disallowed_methods, reason = "this is the pace")]
                std::thread::sleep(wait);
            }
            if tell.blocking_send(at).is_err() {
                return;
            }
            at += EVERY;
        }
    });
    (watch, due)
}

/// Has the nodes of a fleet send heartbeats in turn, each when it is due, whether or not the one before was answered. Gives the
/// 99th percentile of the time from when one was due to its answer. None may be refused.
pub async fn p99(fleet: &[Agent], span: Duration) -> Duration {
    let (watch, mut due) = due(span);
    let (mut calls, mut turn) = (JoinSet::new(), fleet.iter().cycle());
    while let Some(at) = due.recv().await {
        let mut agent = turn.next().expect("a fleet has nodes").clone();
        calls.spawn(async move {
            let beat = agent.request(HeartbeatRequest::default());
            agent.client.heartbeat(beat).await.expect("a good node is not refused");
            watch.elapsed().saturating_sub(at)
        });
    }
    let mut took = calls.join_all().await;
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Whether an attacker is to stop.
pub type Stop = Arc<AtomicBool>;

/// An attacker, on a thread that gives way to all others: what is measured is what an attack costs Core, not what it costs to attack from
/// the same machine.
pub struct Attacker<T> {
    stop: Stop,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Attacker<T> {
    /// Attacks until it is told to stop.
    pub fn start<F: Future<Output = T>>(attack: impl FnOnce(Stop) -> F + Send + 'static) -> Self {
        let stop = Stop::default();
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            give_way();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a thread may have a runtime").block_on(attack(told))
        });
        Self { stop, thread }
    }

    /// Tells it to stop; gives what came of it.
    pub async fn stop(self) -> T {
        self.stop.store(true, Relaxed);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        joined.expect("it joins").expect("the attacker had no fault")
    }
}

/// Gives this thread a low priority.
fn give_way() {
    rustix::process::setpriority_process(None, 10).expect("everybody may give way");
}
