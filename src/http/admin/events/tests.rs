use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;
use crate::{
    events::KEPT,
    model::{
        NodeId, Time,
        event::{Happening, NodeFacts, NodeNews},
    },
};

const NOW: i64 = 1_764_000_000_000;

/// Nothing comes by itself within the time of a test.
const QUIET: Pace = Pace {
    keep_alive: Duration::from_hours(1),
    check: Duration::from_hours(1),
};

struct World {
    feed: Feed,
    clock: Clock,
    stop: watch::Sender<bool>,
}

fn world() -> World {
    let clock = Clock::manual(Time::from_millis(NOW));
    let (stop, stopping) = watch::channel(false);
    let feed = Feed::new(Events::new(clock.clone()), &clock, stopping);
    World { feed, clock, stop }
}

impl World {
    fn tell(&self, news: NodeNews, node: i64) {
        let facts = NodeFacts::default();
        self.feed.events.publish(Happening::Node(news, NodeId(node), facts));
    }

    fn open(&self, after: Option<&str>, wanted: Option<&str>) -> Stream {
        self.paced(after, wanted, QUIET)
    }

    fn paced(&self, after: Option<&str>, wanted: Option<&str>, pace: Pace) -> Stream {
        let after = after.map(|id| id.parse().unwrap());
        let wanted = Wanted::read(wanted).unwrap();
        self.feed.open(after, wanted, pace, yes()).unwrap()
    }
}

fn yes() -> MayRead {
    Box::new(|| Box::pin(std::future::ready(true)))
}

async fn text(stream: &mut Stream) -> String {
    let piece = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
    String::from_utf8(piece.expect("it comes").expect("it is not the end").to_vec()).unwrap()
}

#[tokio::test]
async fn a_stream_begins_with_what_happens_from_now_on() {
    let world = world();
    world.tell(NodeNews::Online, 1);
    let mut stream = world.open(None, None);
    assert_eq!(text(&mut stream).await, format!("retry: 2000\nid: {NOW}-0\n\n"));
    world.tell(NodeNews::Offline, 1);
    assert_eq!(
        text(&mut stream).await,
        format!(
            "id: {NOW}-1\nevent: node.offline\ndata: {{\"at\":\"2025-11-24T16:00:00Z\",\"data\":{{\"nodeId\":1}},\"id\":\"{NOW}-1\",\
             \"type\":\"node.offline\"}}\n\n"
        )
    );
}

#[tokio::test]
async fn a_reader_who_comes_back_gets_the_rest() {
    let world = world();
    let mut stream = world.open(None, None);
    let place = text(&mut stream).await;
    let place = place.trim().rsplit(' ').next().unwrap();
    (1..=3).for_each(|node| world.tell(NodeNews::Online, node));
    let mut again = world.open(Some(place), None);
    text(&mut again).await;
    let rest = text(&mut again).await;
    assert_eq!(rest.matches("event: node.online").count(), 3);
    assert!(!rest.contains("missed"), "{rest}");
}

#[tokio::test]
async fn who_was_away_too_long_is_told_so() {
    let world = world();
    let many = i64::try_from(KEPT).unwrap();
    (0..=many).for_each(|node| world.tell(NodeNews::Online, node));
    let mut stream = world.open(Some(&format!("{}-4294967295", NOW - 1)), None);
    assert!(!text(&mut stream).await.contains("missed"));
    let piece = text(&mut stream).await;
    assert!(piece.contains("\nevent: missed\ndata: {"), "{piece}");
    assert_eq!(piece.matches("id: ").count(), PIECE_EVENTS);
    assert!(!text(&mut stream).await.contains("missed"));
    // A place in another life of Core: nobody knows what was told after it.
    let mut stream = world.open(Some("1700000000000-3"), None);
    assert!(text(&mut stream).await.contains("event: missed"));
}

#[tokio::test]
async fn a_place_that_lies_ahead_ends_nothing() {
    let world = world();
    let mut stream = world.open(Some("1999999999999-0"), None);
    text(&mut stream).await;
    world.tell(NodeNews::Online, 7);
    assert!(text(&mut stream).await.contains("\"nodeId\":7"));
}

#[tokio::test]
async fn only_wanted_types_come() {
    let world = world();
    let mut stream = world.open(None, Some("node.offline, node.error"));
    text(&mut stream).await;
    (0..200).for_each(|node| world.tell(NodeNews::Online, node));
    world.tell(NodeNews::Offline, 9);
    let piece = text(&mut stream).await;
    assert!(
        piece.contains("event: node.offline") && !piece.contains("node.online"),
        "{piece}"
    );
    assert!(Wanted::read(Some("node.online,node.gone")).is_err());
    assert_eq!(Wanted::read(Some("")).unwrap(), Wanted(None));
}

#[test]
fn every_type_of_the_model_may_be_wanted() {
    for news in NodeNews::ALL {
        assert!(TYPES.contains(&news.as_str()));
    }
    for news in crate::model::event::SubscriptionNews::ALL {
        assert!(TYPES.contains(&news.as_str()));
    }
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives_and_ends_with_core() {
    let world = world();
    let pace = Pace {
        keep_alive: Duration::from_millis(5),
        ..QUIET
    };
    let mut stream = world.paced(None, None, pace);
    text(&mut stream).await;
    assert_eq!(text(&mut stream).await, ": I live\n\n");
    assert_eq!(text(&mut stream).await, ": I live\n\n");
    world.stop.send_replace(true);
    while stream.next().await.is_some() {}
    assert!(world.feed.open(None, Wanted(None), QUIET, yes()).is_err());
    assert_eq!(world.clock.now().millis(), NOW);
}

#[tokio::test]
async fn a_reader_who_may_no_longer_read_is_sent_away() {
    let world = world();
    let pace = Pace {
        check: Duration::from_millis(5),
        ..QUIET
    };
    let good = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&good);
    let may_read: MayRead = Box::new(move || Box::pin(std::future::ready(asked.swap(false, SeqCst))));
    let mut stream = world.feed.open(None, Wanted(None), pace, may_read).unwrap();
    text(&mut stream).await;
    let end = tokio::time::timeout(Duration::from_secs(10), stream.next()).await;
    assert_eq!(end.expect("it ends"), None);
    assert!(!good.load(SeqCst));
}

#[tokio::test]
async fn only_so_many_read_along() {
    let world = world();
    let mut streams: Vec<Stream> = (0..STREAMS_MAX).map(|_| world.open(None, None)).collect();
    assert!(world.feed.open(None, Wanted(None), QUIET, yes()).is_err());
    streams.pop();
    assert!(world.feed.open(None, Wanted(None), QUIET, yes()).is_ok());
}
