//! Reports that wait for Core. Each is made once, never changed, and sent under the same key until Core has it: then it counts
//! exactly once.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::{sync::Notify, time::sleep};
use tonic::Code;
use vpn_core::proto::nodeservice::{OutboundUsageItem, ReportOutboundUsageRequest, ReportUsageRequest, UsageEntry};

use super::{
    Ledger,
    core_link::{CoreLink, RETRY_AFTER, RETRY_AFTER_MAX},
    counters::Usage,
};

/// Reports that wait for Core: half a day of minutes, with two each. A report that does not fit is counted, not forgotten silently.
const OUTBOX_MAX: usize = 1_440;

/// Items of one report: Core takes 50,000 and 8 MiB, an item is some 80 bytes.
const REPORT_ITEMS_MAX: usize = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    reports: Mutex<VecDeque<Report>>,
    posted: Notify,
    /// The last report is in.
    finished: AtomicBool,
}

#[derive(Debug)]
struct Report {
    key: String,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Usage(Vec<UsageEntry>),
    Outbound(Vec<OutboundUsageItem>),
}

impl Outbox {
    /// Makes reports of usage.
    pub fn post(&self, usage: &Usage, ledger: &Ledger) {
        for part in usage.entries.chunks(REPORT_ITEMS_MAX) {
            self.put(Body::Usage(part.to_vec()), ledger);
        }
        for part in usage.outbounds.chunks(REPORT_ITEMS_MAX) {
            self.put(Body::Outbound(part.to_vec()), ledger);
        }
    }

    /// Nothing comes any more.
    pub fn finish(&self) {
        self.finished.store(true, Relaxed);
        self.posted.notify_one();
    }

    /// Sends what is in it, oldest first, each until Core has it; returns when it is finished and empty.
    pub async fn send(&self, core: &CoreLink, ledger: &Ledger) {
        loop {
            let report = self.reports().pop_front();
            match report {
                Some(report) => report.deliver(core, ledger).await,
                None if self.finished.load(Relaxed) => return,
                None => self.posted.notified().await,
            }
        }
    }

    fn put(&self, body: Body, ledger: &Ledger) {
        let mut reports = self.reports();
        if reports.len() >= OUTBOX_MAX {
            ledger.refused.fetch_add(1, Relaxed);
            return tracing::error!("the outbox is full: a report is lost");
        }
        reports.push_back(Report {
            key: uuid::Uuid::new_v4().to_string(),
            body,
        });
        drop(reports);
        self.posted.notify_one();
    }

    fn reports(&self) -> MutexGuard<'_, VecDeque<Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    /// The same bytes under the same key, until they are acknowledged or refused for good.
    async fn deliver(self, core: &CoreLink, ledger: &Ledger) {
        let mut pause = RETRY_AFTER;
        loop {
            match self.attempt(core).await {
                Ok(rejected) => return self.note(rejected, ledger),
                Err(status) if may_be_repeated(status.code()) => {
                    tracing::warn!(code = ?status.code(), message = status.message(), "a report waits");
                }
                Err(status) => {
                    ledger.refused.fetch_add(1, Relaxed);
                    return tracing::error!(code = ?status.code(), message = status.message(), "a report was refused");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_AFTER_MAX);
        }
    }

    async fn attempt(&self, core: &CoreLink) -> Result<i32, tonic::Status> {
        match &self.body {
            Body::Usage(entries) => {
                let message = ReportUsageRequest {
                    entries: entries.clone(),
                    ..ReportUsageRequest::default()
                };
                let sent = core.call_once(message, &self.key, |mut client, request| async move {
                    client.report_usage(request).await
                });
                sent.await.map(|answer| answer.rejected)
            }
            Body::Outbound(items) => {
                let message = ReportOutboundUsageRequest {
                    items: items.clone(),
                    ..ReportOutboundUsageRequest::default()
                };
                let sent = core.call_once(message, &self.key, |mut client, request| async move {
                    client.report_outbound_usage(request).await
                });
                sent.await.map(|answer| answer.rejected)
            }
        }
    }

    fn note(&self, rejected: i32, ledger: &Ledger) {
        if rejected > 0 {
            tracing::error!(rejected, "Core put items of a report aside");
        }
        ledger.acknowledged.fetch_add(1, Relaxed);
        let (up, down) = match &self.body {
            Body::Usage(entries) => {
                let up: i64 = entries.iter().map(|it| it.bytes_up).sum();
                let down: i64 = entries.iter().map(|it| it.bytes_down).sum();
                ((&ledger.usage_up, up), (&ledger.usage_down, down))
            }
            Body::Outbound(items) => {
                let up: i64 = items.iter().map(|it| it.bytes_up).sum();
                let down: i64 = items.iter().map(|it| it.bytes_down).sum();
                ((&ledger.outbound_up, up), (&ledger.outbound_down, down))
            }
        };
        for (sum, bytes) in [up, down] {
            sum.fetch_add(bytes, Relaxed);
        }
    }
}

/// Whether the same report may be taken later.
fn may_be_repeated(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::Unauthenticated
    )
}
