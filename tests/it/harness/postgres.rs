//! Real PostgreSQL servers on free loopback ports. What needs a database gets a new one on a server that all tests share; what kills its
//! server, stops it or sets it back has one of its own. Whatever becomes of a test, its servers end soon after it.

mod guard;
mod programs;
mod server;
mod shared;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tokio_postgres::{Client, NoTls};

pub use server::Server;

/// A new database on the shared server; it goes with this value.
pub struct Database {
    name: String,
    port: u16,
}

impl Database {
    /// Makes one.
    pub async fn fresh() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let port = shared::port().await;
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let admin = connect(&url(port, "postgres")).await;
        // The number of a process comes again: what a killed one left is in the way.
        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        admin.batch_execute(&sql).await.expect("it is no longer used");
        let sql = format!("CREATE DATABASE {name}");
        admin.batch_execute(&sql).await.expect("there is room");
        Self { name, port }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        url(self.port, &self.name)
    }

    /// Where it is for one who goes through something that listens on another port.
    pub fn url_through(&self, port: u16) -> String {
        url(port, &self.name)
    }

    /// The port of its server.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, name) = (url(self.port, "postgres"), self.name.clone());
        let drop = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let admin = try_connect(&url).await.map_err(std::io::Error::other)?;
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                admin.batch_execute(&sql).await.map_err(std::io::Error::other)
            })
        };
        // A thread of its own: the test's runtime may not be blocked from within.
        let dropped = std::thread::spawn(drop).join();
        assert!(matches!(dropped, Ok(Ok(()))) || std::thread::panicking(), "{dropped:?}");
    }
}

/// A connection.
pub async fn connect(url: &str) -> Client {
    try_connect(url).await.expect("PostgreSQL answers")
}

/// A connection, if there can be one.
pub async fn try_connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Its end is seen by the client.
    tokio::spawn(connection);
    Ok(client)
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{ROLE}@127.0.0.1:{port}/{database}")
}

/// The role that owns everything on these servers; it needs no password.
const ROLE: &str = "core";
