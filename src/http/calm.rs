//! A dispatcher that gives way while its peer takes no answer, and reads no more at a time than it can work on.
//!
//! actix-http wakes itself as long as it has read as much as it keeps (`MAX_BUFFER_SIZE`, 128 KiB), so that it goes on with what it has; if it can't
//! write at the same time, it goes round for nothing: one peer that asks without end and takes no answer keeps a processor busy. Here what wakes itself
//! while its connection is stuck is polled again when something happens on the connection, or after a while.
//!
//! And it decodes all that it has read before it looks how many requests wait: in 128 KiB there are 1,300 small ones, which take 8 MiB. So it is given
//! little at a time, and more when it is through with that: it is not stuck, and nothing is worked on or being answered.

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

/// So much is read at a time, and what is in the buffer of one read more.
const READ: u64 = 8 << 10;

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
    /// A dispatcher of the connection with these turns, which answers its requests one by one.
    pub fn new(inner: F, turns: Arc<Turns>) -> Self {
        Self {
            inner: Box::pin(inner),
            turns,
            hand: Arc::default(),
            pause: None,
        }
    }

    /// Whether what it has read has to be answered before more is read.
    fn is_full(&self) -> bool {
        self.turns.is_stuck() || self.turns.is_busy()
    }

    /// It woke itself, or would have read more: at once, or after a while.
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
        if !this.is_full() {
            this.turns.let_read(READ);
        }
        this.hand.polling.store(true, SeqCst);
        let waker = Waker::from(Arc::clone(&this.hand));
        let polled = this.inner.as_mut().poll(&mut Context::from_waker(&waker));
        this.hand.polling.store(false, SeqCst);
        let again = this.hand.held.swap(false, SeqCst) || (this.turns.is_starved() && !this.is_full());
        if again && polled.is_pending() {
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

    #[tokio::test]
    async fn more_is_read_when_what_was_read_is_answered() {
        let turns = Arc::new(Turns::default());
        let (reader, count) = (Arc::clone(&turns), Arc::new(Count::default()));
        let reads = std::future::poll_fn(move |_| {
            while reader.may_read() {
                reader.has_read(READ);
            }
            Poll::<()>::Pending
        });
        let mut calm = Calm::new(reads, Arc::clone(&turns));
        let waker = Waker::from(Arc::clone(&count));
        let mut comes_again = || {
            assert!(Pin::new(&mut calm).poll(&mut Context::from_waker(&waker)).is_pending());
            count.0.swap(0, Relaxed) == 1
        };
        assert!(comes_again());
        let turn = turns.begin();
        turn.whole();
        assert!(!comes_again());
        drop(turn);
        assert!(comes_again());
        turns.stick(true);
        assert!(!comes_again());
        turns.stick(false);
        assert!(comes_again());
    }
}
