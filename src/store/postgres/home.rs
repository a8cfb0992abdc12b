//! The thread on which connections live. Callers come from threads that serve nodes or render configs: their work must not hold up the bytes
//! of a connection that others wait for, and the other way round.

use std::{future::Future, io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinHandle,
};

/// The thread; it ends, with all that lives on it, when this goes.
pub(super) struct Home {
    handle: Handle,
    _stay: oneshot::Sender<()>,
}

impl Home {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stay, stayed) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("store-postgres".to_owned())
            .spawn(move || {
                // Ends with an error, since nobody ever sends.
                runtime.block_on(stayed).ok();
            })?;
        Ok(Self { handle, _stay: stay })
    }

    /// Runs this there.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(work)
    }
}
