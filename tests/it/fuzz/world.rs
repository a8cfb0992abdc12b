//! Core inside this process on the sample catalogue, on a disk in memory where there is one, and a node of it that has its key.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use vpn_core::app::{Parts, Ports, commands};

use super::{
    calls::{Grpc, Http, KEY},
    direct::Direct,
};
use crate::{
    faults::fleet::Place,
    harness::{
        core::SAMPLE,
        inside::{Inside, settings},
    },
};

/// A folder whose disk is memory, so that what is durable costs no time.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        return tempfile::tempdir_in(memory).unwrap();
    }
    tempfile::tempdir().unwrap()
}

/// See the module.
pub struct World {
    inside: Inside,
    /// Where it listens.
    pub ports: Ports,
    /// The key of node 1.
    pub key: String,
    /// A code for many nodes.
    pub code: String,
    _dir: TempDir,
}

impl World {
    /// A new one. Loopback is believed when it names the caller.
    pub async fn new() -> Self {
        let dir = folder();
        let mut settings = settings(dir.path());
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        commands::import(&settings, Path::new(SAMPLE)).await.unwrap();
        let inside = Inside::try_start_with(settings, Parts::default()).await.unwrap();
        let ports = inside.ports;
        let place = Place::from(ports);
        let key = place.enroll(1).await;
        let code = place.code(&json!({"uses": 100_000, "ttlSeconds": 31_536_000})).await;
        Self {
            inside,
            ports,
            key,
            code,
            _dir: dir,
        }
    }

    /// Its admin API, with no listener before it.
    pub async fn admin(&self) -> Direct {
        let (door, ops) = self.inside.door.clone();
        Direct::new(door, ops).await
    }

    /// Stops it.
    pub async fn end(self) {
        self.inside.stop().await;
    }
}

/// Ends this world, and begins another one.
pub async fn another(world: &mut Option<World>) -> &World {
    end(world).await;
    world.insert(World::new().await)
}

/// Ends it.
pub async fn end(world: &mut Option<World>) {
    if let Some(world) = world.take() {
        world.end().await;
    }
}

/// Both doors of nodes, in a world that is another one now and then.
pub struct Doors {
    world: Option<World>,
    /// The routes.
    pub http: Http,
    /// The RPCs.
    pub grpc: Grpc,
    /// The key of node 1.
    pub key: String,
}

impl Doors {
    /// Before there is a world.
    pub fn new() -> Self {
        Self {
            world: None,
            http: Http::new(0, KEY, ""),
            grpc: Grpc::new(0),
            key: String::new(),
        }
    }

    /// In another world.
    pub async fn renew(&mut self) {
        let world = another(&mut self.world).await;
        self.http = Http::new(world.ports.http, KEY, "");
        self.grpc = Grpc::new(world.ports.grpc);
        self.key.clone_from(&world.key);
    }

    /// Ends the world.
    pub async fn end(&mut self) {
        end(&mut self.world).await;
    }
}
