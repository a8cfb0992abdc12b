//! The example agent with a real Xray behind it: what Core counts is what Xray counted, and users come and go without a restart.

#[allow(unreachable_pub, missing_docs, reason = "an example of its own, too")]
#[path = "../../examples/node_agent.rs"]
mod node_agent;

mod catalogue;
mod engine;
mod node;
mod samples;
mod target;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use serde_json::json;
use tokio::task::JoinHandle;

use self::{
    catalogue::{INBOUNDS, Person, Servers},
    engine::{Client, address},
    node::{Bytes, Node, by_user},
    target::{Conversation, Target},
};
use crate::harness::eventually;

/// What the first user downloads through the first inbound; each further one gets a little more, so that none looks like another.
const BYTES: usize = 1_000_000;

/// Downloads so many bytes as this user through this inbound, on a connection of its own.
async fn download(client: &Client, person: Person, inbound: i64, bytes: usize) {
    let mut conversation = Conversation::open(client.port(person, inbound)).await;
    let done = conversation.download(bytes).await;
    assert!(done.is_ok(), "user {} through {inbound}: {done:?}", person.id);
}

/// Waits until this inbound lets the user through.
async fn serves(client: &Client, person: Person, inbound: i64) {
    eventually("the inbound serves", || async {
        let mut conversation = Conversation::open(client.port(person, inbound)).await;
        conversation.download(1).await.ok()
    })
    .await;
}

/// Downloads through every inbound, each time another number of bytes; gives what was asked for.
async fn download_all(client: &Client, people: &[Person]) -> Bytes {
    let mut asked = Bytes::new();
    for (place, person) in people.iter().enumerate() {
        for (at, (inbound, _)) in INBOUNDS.iter().enumerate() {
            let bytes = BYTES + 10_007 * (at + 10 * place);
            // An engine answers before all of its inbounds do.
            serves(client, *person, *inbound).await;
            download(client, *person, *inbound, bytes).await;
            asked.insert(person.email(*inbound), (8, i64::try_from(bytes).expect("it is small")));
        }
    }
    asked
}

/// Waits until the store holds what Xray counted, to the byte; gives it.
async fn settled(node: &Node) -> Bytes {
    eventually("the store holds what Xray counted", || async {
        let (users, outbounds) = (node.counted("user").await, node.counted("outbound").await);
        let same = node.usage() == users && node.subscriptions() == by_user(&users) && node.outbounds() == outbounds;
        same.then_some(users)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn core_counts_what_xray_counted() {
    let dir = tempfile::tempdir().expect("there is room");
    let (servers, target) = (Servers::new(), Target::start().await);
    let people = [Person::new(1), Person::new(2)];
    let node = Node::start(dir.path(), &servers, &people).await;
    let client = Client::start(dir.path(), &servers, &people, target.port).await;

    let asked = download_all(&client, &people).await;
    let counted = settled(&node).await;
    assert_eq!(counted.keys().collect::<Vec<_>>(), asked.keys().collect::<Vec<_>>());
    for (email, (up, down)) in &asked {
        let (counted_up, counted_down) = counted[email];
        println!("{email}: {down} bytes asked for, Xray and Core counted {counted_down} down, {counted_up} up");
        assert!(
            counted_up >= *up && counted_down >= *down,
            "{email}: {:?}",
            counted[email]
        );
    }
    println!("outbounds: {:?}", node.outbounds());
    assert_eq!(node.outbounds().len(), 2);
    node.stop().await;
}

/// A connection that downloads again and again until it is told to stop; the number of rounds, and how it went.
struct LongTransfer {
    rounds: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    running: JoinHandle<std::io::Result<()>>,
}

impl LongTransfer {
    fn start(client: &Client, person: Person, inbound: i64) -> Self {
        let (rounds, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stop, port) = (Arc::clone(&rounds), Arc::clone(&enough), client.port(person, inbound));
        let running = tokio::spawn(async move {
            let mut conversation = Conversation::open(port).await;
            while !stop.load(SeqCst) {
                conversation.download(20_000).await?;
                counter.fetch_add(1, SeqCst);
            }
            Ok(())
        });
        Self {
            rounds,
            enough,
            running,
        }
    }

    /// Waits for rounds that begin after now.
    async fn goes_on(&self) {
        let now = self.rounds.load(SeqCst);
        eventually("a transfer goes on", || {
            assert!(!self.running.is_finished(), "a transfer was interrupted");
            std::future::ready((self.rounds.load(SeqCst) > now + 1).then_some(()))
        })
        .await;
    }

    async fn stop(self) {
        self.enough.store(true, SeqCst);
        self.running.await.expect("it ends").expect("it was never interrupted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_and_go_without_a_restart() {
    let dir = tempfile::tempdir().expect("there is room");
    let (servers, target) = (Servers::new(), Target::start().await);
    let (stays, mut leaves, comes) = (Person::new(1), Person::new(2), Person::new(3));
    let node = Node::start(dir.path(), &servers, &[stays, leaves]).await;
    let client = Client::start(dir.path(), &servers, &[stays, leaves, comes], target.port).await;
    let pid = node.pid();

    let transfers: Vec<LongTransfer> = INBOUNDS
        .iter()
        .map(|(inbound, _)| LongTransfer::start(&client, stays, *inbound))
        .collect();
    for (inbound, _) in INBOUNDS {
        download(&client, leaves, inbound, BYTES).await;
    }
    for transfer in &transfers {
        transfer.goes_on().await;
    }
    online(&node, stays).await;
    let mut open = Conversation::open(client.port(leaves, 12)).await;
    open.download(1).await.expect("he is still let in");

    leaves.active = false;
    node.change(&servers.import(&[stays, leaves, comes])).await;
    for (inbound, tag) in INBOUNDS {
        download(&client, comes, inbound, BYTES).await;
        let mut refused = Conversation::open(client.port(leaves, inbound)).await;
        let refused = refused.download(1).await;
        println!("{tag}: the one who left gets {refused:?}");
        assert!(refused.is_err(), "{tag} let in somebody who was taken out");
    }
    // Xray leaves alone what he has open; its bytes count as ever.
    open.download(BYTES).await.expect("what is open stays open");
    for transfer in &transfers {
        transfer.goes_on().await;
    }
    assert_eq!(node.pid(), pid, "Xray was started anew");
    for transfer in transfers {
        transfer.stop().await;
    }
    let counted = settled(&node).await;
    for person in [stays, leaves, comes] {
        for (inbound, _) in INBOUNDS {
            assert!(
                counted.contains_key(&person.email(inbound)),
                "{}",
                person.email(inbound)
            );
        }
    }
    node.stop().await;
}

/// Waits until Core knows that this user is connected through every inbound, and from where.
async fn online(node: &Node, person: Person) {
    eventually("the user is online on every inbound", || async {
        let online = node.core.admin().get("/admin/online?node=1").await;
        let items = online["items"].as_array().expect("a list").clone();
        let on = |inbound: i64| {
            items.iter().any(|it| {
                it["userId"] == person.id
                    && it["nodeProtocolId"] == inbound
                    && it["ips"].to_string().contains(&address(person.id))
            })
        };
        INBOUNDS.iter().all(|(inbound, _)| on(*inbound)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_no_bytes_and_a_refusal_interrupts_nobody() {
    let dir = tempfile::tempdir().expect("there is room");
    let (servers, target) = (Servers::new(), Target::start().await);
    let people = [Person::new(1)];
    let node = Node::start(dir.path(), &servers, &people).await;
    let client = Client::start(dir.path(), &servers, &people, target.port).await;
    let first = node.pid();
    download_all(&client, &people).await;
    let before = node.counted("user").await;

    // Xray refuses a strategy that there is not; Core does not know all of them.
    let mut catalogue = servers.import(&people);
    catalogue["nodeOutbounds"][1]["config"]["settings"]["fragment"] = json!({"packets": "nonsense"});
    let transfer = LongTransfer::start(&client, people[0], 12);
    node.refused(&catalogue).await;
    transfer.goes_on().await;
    assert_eq!(node.pid(), first, "the old process runs on");
    transfer.stop().await;

    // Another structure: a restart, and everything that the old process counted is there.
    let mut catalogue = servers.import(&people);
    catalogue["nodeRoutingRules"][0]["rule"]["network"] = json!("tcp");
    let last = node.counted("user").await;
    assert!(before.iter().all(|(email, bytes)| last[email].1 >= bytes.1));
    node.change(&catalogue).await;
    assert_ne!(node.pid(), first);
    eventually("what the old process counted is in the store", || {
        std::future::ready((node.usage() == last).then_some(()))
    })
    .await;

    // A death: the next process begins at 0, and is counted from there.
    let second = node.pid();
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &second.to_string()])
        .status();
    assert!(killed.expect("kill is there").success());
    let third = eventually("Xray is started again", || {
        let pid = node.pid();
        std::future::ready((pid != second).then_some(pid))
    })
    .await;
    assert_ne!(third, second);
    download_all(&client, &people).await;
    eventually("both processes' bytes are in the store", || async {
        let counted = node.counted("user").await;
        let sum = last.iter().map(|(email, (up, down))| {
            let (more_up, more_down) = counted[email];
            (email.clone(), (up + more_up, down + more_down))
        });
        (node.usage() == sum.collect::<Bytes>()).then_some(())
    })
    .await;
    let errors = node.core.admin().get("/admin/nodes/1/errors").await.to_string();
    assert!(
        errors.contains("ENGINE_FAILED") && errors.contains("CONFIG_APPLY_FAILED"),
        "{errors}"
    );
    node.stop().await;
}
