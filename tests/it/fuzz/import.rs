//! The file of `catalog import`: read, checked and written by the command's own code into an embedded store, then loaded and rendered as Core would.

use std::path::Path;

use tempfile::TempDir;
use vpn_core::{
    app::commands,
    catalog::{render::render, snapshot::Snapshot},
    clock::Clock,
    store::{Change, Store, StoreError, sqlite::SqliteStore},
};

use super::{
    engine::{self, Plan, Target, Verdict},
    mutate::Kind,
    world,
};
use crate::harness::core::SAMPLE;

#[derive(Default)]
struct Import {
    store: Option<SqliteStore>,
    /// Emptied stores are not made by all migrations again.
    empty: Option<TempDir>,
    dir: Option<TempDir>,
}

impl Target for Import {
    /// Every input may add rows.
    const WORLD: usize = 200;

    async fn renew(&mut self) {
        let file = |dir: &TempDir| dir.path().join("core.db");
        if self.empty.is_none() {
            let dir = world::folder();
            SqliteStore::open(&file(&dir)).unwrap().migrate().await.unwrap();
            self.empty = Some(dir);
        }
        self.store = None;
        let dir = world::folder();
        copy(self.empty.as_ref().unwrap().path(), dir.path());
        self.store = Some(SqliteStore::open(&file(&dir)).unwrap());
        self.dir = Some(dir);
    }

    async fn attempt(&self, input: &[u8]) -> Verdict {
        let Ok(import) = commands::read_catalogue(input) else {
            return Ok(false);
        };
        let store = self.store.as_ref().unwrap();
        let by = Change {
            actor: "cli".to_owned(),
            address: None,
            request_id: None,
            at: Clock::system().now(),
        };
        match store.import(&import, &by).await {
            Ok(()) => {}
            Err(StoreError::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error.to_string()),
        }
        let fleet = store.load_fleet().await.map_err(|error| error.to_string())?;
        let snapshot = Snapshot::new(fleet.catalog);
        for node in &fleet.nodes {
            render(node, &snapshot, by.at);
        }
        Ok(true)
    }
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn catalogue_import() {
    let sample: serde_json::Value = serde_json::from_slice(&std::fs::read(SAMPLE).unwrap()).unwrap();
    let mut small = sample.clone();
    for rows in small
        .as_object_mut()
        .unwrap()
        .values_mut()
        .filter_map(|it| it.as_array_mut())
    {
        rows.retain(|row| {
            row["nodeId"].as_i64().is_none_or(|node| node == 1) && row["protoId"].as_i64().is_none_or(|it| it < 20)
        });
    }
    small["nodeBalancers"] =
        serde_json::json!([{"id": 1, "nodeId": 1, "tag": "pool", "config": {"selector": ["exit-"]}}]);
    let seeds = [sample, small, serde_json::json!({"users": [{"id": 5, "name": "x"}]})];
    let plan = Plan {
        name: "catalogue_import",
        kind: Kind::Json,
        seeds: seeds.map(|it| it.to_string().into_bytes()).into(),
    };
    engine::run(plan, Import::default());
}
