//! Core as a process on PostgreSQL behind the proxy.

use std::{path::Path, time::Duration};

use tempfile::TempDir;
use tokio_postgres::Client;

use super::books::{Books, Difference};
use crate::{
    faults::{
        fleet,
        ledger::{Line, Report},
    },
    harness::{
        core::Core,
        eventually,
        http::{Answer, send},
        postgres::{Database, Server, connect},
        proxy::Proxy,
    },
};

/// Nodes of the catalogue, each with an agent where there is a crowd.
pub const NODES: i64 = 6;

/// What the store has to settle accounts when all is well again.
pub const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// Where the data is.
enum Behind {
    Shared(Database),
    Own(Server),
}

/// See the module.
pub struct Scene {
    pub proxy: Proxy,
    dir: TempDir,
    url: String,
    behind: Behind,
}

impl Scene {
    /// A new database on the shared server.
    pub async fn shared() -> Self {
        let database = Database::fresh().await;
        let proxy = Proxy::before(database.port()).await;
        let url = database.url_through(proxy.port());
        Self::new(proxy, url, Behind::Shared(database))
    }

    /// A server of its own.
    pub async fn own() -> Self {
        let server = Server::start().await;
        let proxy = Proxy::before(server.port()).await;
        let url = Server::url_at(proxy.port());
        Self::new(proxy, url, Behind::Own(server))
    }

    fn new(proxy: Proxy, url: String, behind: Behind) -> Self {
        // The command asks through the proxy, whose tasks need this thread's runtime.
        let dir = tokio::task::block_in_place(|| fleet::dir_with(NODES, &settings(&url)));
        Self {
            proxy,
            dir,
            url,
            behind,
        }
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// What Core is started with.
    pub fn settings(&self) -> [(&str, &str); 2] {
        settings(&self.url)
    }

    /// Starts Core.
    pub async fn start(&self) -> Core {
        Core::start_with(self.dir.path(), &self.settings()).await
    }

    /// The server that may be killed.
    pub fn server(&mut self) -> &mut Server {
        match &mut self.behind {
            Behind::Own(server) => server,
            Behind::Shared(_) => panic!("others are on it"),
        }
    }

    /// The database, past the proxy.
    pub async fn db(&self) -> Client {
        connect(&match &self.behind {
            Behind::Own(server) => server.url(),
            Behind::Shared(database) => database.url(),
        })
        .await
    }

    /// Waits until the store has taken over more than it has now.
    pub async fn flushed(&self) {
        let db = self.db().await;
        let taken = async || {
            let sql = "SELECT coalesce(sum(position), 0)::bigint FROM core.flush_watermarks";
            db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
        };
        let before = taken().await;
        eventually("a flush", || async { (taken().await > before).then_some(()) }).await;
    }

    /// Waits until the store holds what these reports come to, in every sum; gives what differs if that takes too long.
    pub async fn settle(&self, reports: &[Report]) -> Difference {
        let (db, sent) = (self.db().await, Books::of(reports));
        let mut difference = Difference::default();
        let settling = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                difference = sent.compare(&Books::stored(&db).await);
                if difference == Difference::default() {
                    return;
                }
            }
        };
        if tokio::time::timeout(SETTLED_WITHIN, settling).await.is_err() {
            eprintln!("the store does not come to what was acknowledged: {difference:#?}");
        }
        difference
    }
}

fn settings(url: &str) -> [(&str, &str); 2] {
    [("DATABASE_URL", url), ("LIMITS", "off")]
}

/// What Core says of itself.
pub async fn ready(core: &Core) -> Answer {
    let url = format!("http://127.0.0.1:{}/readyz", core.ports.http);
    send(reqwest::Client::new().get(url)).await
}

/// Waits until Core says this of its store.
pub async fn store_is(core: &Core, word: &str) {
    eventually("what Core says of its store", || async {
        (ready(core).await.body["store"] == word).then_some(())
    })
    .await;
}

/// A line of node 1, which has a key now.
pub async fn line(core: &Core) -> Line {
    let place = fleet::Place::from(core.ports);
    Line::new(place, &place.enroll(1).await).await
}
