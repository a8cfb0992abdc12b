//! The actor of a node falls.

use std::{path::PathBuf, thread::JoinHandle, time::Duration};

use actix::{Handler, Message};
use reqwest::Method;
use serde_json::json;
use tokio::sync::oneshot;
use vpn_core::{
    app::{Core, Parts, Ports},
    clock::Clock,
    model::NodeId,
    node::{NodeError, actor::NodeActor, registry::Nodes},
    proto::nodeservice::HeartbeatRequest,
};

use super::{
    fleet::{self, Place},
    ledger::{Line, Refusal, Report, refusal},
    sums::Sums,
};
use crate::harness::{http::send, inside::settings};

/// What no actor survives.
#[derive(Message)]
#[rtype(result = "()")]
struct Bomb;

impl Handler<Bomb> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Bomb, _: &mut Self::Context) {
        panic!("the test says so");
    }
}

/// Core with its nodes in the test's hands.
struct Opened {
    ports: Ports,
    nodes: Nodes,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

async fn open(dir: PathBuf, clock: Clock) -> Opened {
    let (started, start) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        actix::System::new().block_on(async {
            let parts = Parts {
                clock,
                ..Parts::default()
            };
            let core = Core::start(&settings(&dir), parts).await.unwrap();
            assert!(started.send((core.ports(), core.nodes().clone())).is_ok());
            stopped.await.unwrap();
            core.stop().await;
        });
    });
    let (ports, nodes) = start.await.unwrap();
    Opened {
        ports,
        nodes,
        stop,
        thread,
    }
}

async fn beat(line: &Line) -> Result<(), Refusal> {
    let mut client = line.rpc.client.clone();
    let beat = line.rpc.request(HeartbeatRequest::default());
    client
        .heartbeat(beat)
        .await
        .map(|_| ())
        .map_err(|status| refusal(&status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallen_actor_is_revived_with_what_it_knew() {
    let dir = fleet::dir(2);
    let clock = Clock::manual(Clock::system().now());
    let core = open(dir.path().to_owned(), clock.clone()).await;
    let place = Place::from(core.ports);
    let line = Line::new(place, &place.enroll(1).await).await;
    let neighbour = Line::new(place, &place.enroll(2).await).await;
    let mut reports: Vec<_> = (0..6).map(|number| Report::new(1, number)).collect();
    line.send_all(&reports).await;
    let applied = line.http(Method::POST, "/node/config/applied");
    assert!(send(applied.json(&json!({"revision": 1}))).await.status.is_success());

    let fell = core.nodes.send(NodeId(1), Bomb).await;
    assert!(matches!(fell, Err(NodeError::Busy)), "{fell:?}");
    // The first fall costs nothing but the call.
    assert_eq!(beat(&line).await, Ok(()));
    let shown = place.node(1).await;
    assert_eq!(
        (&shown["appliedRevision"], &shown["syncStatus"]),
        (&json!(1), &json!("synced"))
    );

    // An actor that falls again and again is left alone for a while; others are not touched.
    assert!(core.nodes.send(NodeId(1), Bomb).await.is_err());
    assert_eq!(beat(&line).await, Err(Refusal::Later));
    assert_eq!(line.send_http(&Report::new(1, 100)).await, Err(Refusal::Later));
    assert_eq!(beat(&neighbour).await, Ok(()));
    clock.advance(Duration::from_secs(10));
    assert_eq!(beat(&line).await, Ok(()));
    let more: Vec<_> = (6..12).map(|number| Report::new(1, number)).collect();
    line.send_all(&more).await;
    reports.extend(more);

    core.stop.send(()).unwrap();
    core.thread.join().unwrap();
    assert_eq!(Sums::stored(dir.path()), Sums::of(&reports));
}
