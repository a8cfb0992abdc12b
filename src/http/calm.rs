//! A dispatcher that gives way while its peer takes no answer.
//!
//! actix-http wakes itself as long as it has read as much as it keeps (`MAX_BUFFER_SIZE`, 128 KiB), so that it goes on with what it has; if it can't
//! write at the same time, it goes round for nothing: one peer that asks without end and takes no answer keeps a processor busy. Here what wakes itself
//! while its connection is stuck is polled again when something happens on the connection, or after a while.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::{Sleep, sleep};

use crate::connection::Turns;

/// A stuck connection is looked at again after so long, whatever happens: what woke it may have been another thread's answer.
const AGAIN: Duration = Duration::from_millis(50);

/// See the module.
pub struct Calm<F> {
    inner: Pin<Box<F>>,
    turns: Arc<Turns>,
    hand: Arc<Hand>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// Wakes the task, but not while it is being polled.
#[derive(Default)]
struct Hand {
    task: AtomicWaker,
    polling: AtomicBool,
    held: AtomicBool,
}

impl Wake for Hand {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.polling.load(SeqCst) {
            self.held.store(true, SeqCst);
            // Else another thread's word may come just behind the end of the poll, where nobody looks for it any more.
            if self.polling.load(SeqCst) {
                return;
            }
        }
        self.task.wake();
    }
}

impl<F: Future> Calm<F> {
    /// A dispatcher of the connection with these turns.
    pub fn new(inner: F, turns: Arc<Turns>) -> Self {
        Self {
            inner: Box::pin(inner),
            turns,
            hand: Arc::default(),
            pause: None,
        }
    }

    /// It woke itself: at once, or after a while.
    fn again(&mut self, cx: &mut Context<'_>) {
        if !self.turns.is_stuck() {
            cx.waker().wake_by_ref();
            return;
        }
        let mut pause = Box::pin(sleep(AGAIN));
        if pause.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        self.pause = Some(pause);
    }
}

impl<F: Future> Future for Calm<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        this.pause = None;
        this.hand.task.register(cx.waker());
        this.hand.polling.store(true, SeqCst);
        let waker = Waker::from(Arc::clone(&this.hand));
        let polled = this.inner.as_mut().poll(&mut Context::from_waker(&waker));
        this.hand.polling.store(false, SeqCst);
        if this.hand.held.swap(false, SeqCst) && polled.is_pending() {
            this.again(cx);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[tokio::test]
    async fn what_is_stuck_waits_and_what_is_not_goes_on() {
        let turns = Arc::new(Turns::default());
        let eager = std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let mut calm = Calm::new(eager, Arc::clone(&turns));
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut wakes = |stuck| {
            turns.stick(stuck);
            assert!(Pin::new(&mut calm).poll(&mut Context::from_waker(&waker)).is_pending());
            count.0.swap(0, Relaxed)
        };
        assert_eq!((wakes(false), wakes(true), wakes(false)), (1, 0, 1));
        assert_eq!(wakes(true), 0);
        Waker::from(Arc::clone(&calm.hand)).wake();
        assert_eq!(count.0.swap(0, Relaxed), 1, "the connection moved");
        calm.pause.take().unwrap().await;
    }
}
