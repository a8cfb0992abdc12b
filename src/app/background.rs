//! The jobs, wired to what they work on.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};

use crate::{
    clock::Clock,
    jobs::{
        self,
        ip_info::IpInfoJob,
        samples::{Collector, SampleSaver},
        states::StateSaver,
        upkeep::Housekeeper,
        watchdog::Watchdog,
    },
    node::{keys::Keys, registry::Nodes},
    store::{Retention, Store},
    telemetry,
};

use super::snapshot::{self, Snapshots};

/// The jobs, running.
pub struct Background {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the jobs work on.
#[allow(missing_docs, reason = "each is what its type says")]
pub struct Materials {
    pub nodes: Nodes,
    pub store: Arc<dyn Store>,
    pub keys: Arc<Keys>,
    pub snapshots: Arc<Mutex<Snapshots>>,
    pub samples: Arc<Collector>,
    pub clock: Clock,
    pub offline_after: Duration,
    pub retention: Retention,
    pub ip_info: Option<IpInfoJob>,
}

impl Background {
    /// Starts all jobs.
    pub fn start(materials: Materials) -> Self {
        let Materials {
            nodes,
            store,
            keys,
            snapshots,
            samples,
            clock,
            offline_after,
            retention,
            ip_info,
        } = materials;
        let (stop, stopped) = watch::channel(false);
        let mut watchdog = Watchdog::new(nodes.clone(), clock.clone(), offline_after);
        let watch = jobs::repeat(jobs::watchdog::EVERY, stopped.clone(), move || {
            watchdog.look();
            std::future::ready(())
        });
        let housekeeper = Housekeeper::new(Arc::clone(&store), clock.clone(), retention).run(stopped.clone());
        let save_samples = SampleSaver::new(samples, Arc::clone(&store), clock.clone()).run(stopped.clone());
        let (saver, end) = (StateSaver::new(nodes, Arc::clone(&store), clock), stopped.clone());
        let saver = Arc::new(Mutex::new(saver));
        let save_states = jobs::repeat(jobs::states::EVERY, stopped.clone(), move || {
            let (saver, end) = (Arc::clone(&saver), end.clone());
            async move { saver.lock().await.save(end).await }
        });
        let save_keys = jobs::repeat(jobs::states::EVERY, stopped.clone(), move || {
            let (keys, store) = (Arc::clone(&keys), Arc::clone(&store));
            async move {
                if let Err(error) = keys.save_first_uses(store.as_ref()).await {
                    tracing::warn!(%error, "first uses of keys can't be written: they are kept in memory");
                }
            }
        });
        let look_up = ip_info.map(|job| job.run(stopped.clone()));
        let save_snapshot = jobs::repeat(snapshot::EVERY, stopped.clone(), move || {
            let snapshots = Arc::clone(&snapshots);
            async move { snapshots.lock().await.save().await }
        });
        let metrics = telemetry::start_metrics();
        let fold_metrics = jobs::repeat(telemetry::FOLD_EVERY, stopped, move || {
            metrics.run_upkeep();
            std::future::ready(())
        });
        let mut tasks = vec![
            tokio::spawn(watch),
            tokio::spawn(fold_metrics),
            tokio::spawn(housekeeper),
            tokio::spawn(save_samples),
            tokio::spawn(save_states),
            tokio::spawn(save_keys),
            tokio::spawn(save_snapshot),
        ];
        tasks.extend(look_up.map(tokio::spawn));
        Self { stop, tasks }
    }

    /// Has every job do its work a last time.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for outcome in futures_util::future::join_all(self.tasks).await {
            if let Err(error) = outcome {
                tracing::error!(%error, "a job fell");
            }
        }
    }
}
