//! `doctor`: looks at everything that Core stands on, says what is wrong and how to mend it, and changes nothing.

mod machine;
mod redis;

use std::{fmt, sync::Arc};

use bytesize::ByteSize;
use serde_json::{Value, json};

use crate::{
    clock::Clock,
    config::Settings,
    data_dir,
    model::{
        Time,
        finding::{Finding, Level},
    },
    store::{Store, in_time::InTime},
    tls::{Standing, Tls, Validity},
};

use super::{
    addresses,
    journals::{self, Inspection},
    listeners, snapshot, stores,
};
use machine::Running;

/// Records that a Core which runs may have on their way to the store: one batch.
const ON_THE_WAY: u64 = 30_000;

/// What was found, in the order of the look.
#[derive(Debug)]
pub struct Diagnosis(Vec<Finding>);

impl Diagnosis {
    /// Nothing is bad.
    pub fn is_good(&self) -> bool {
        self.0.iter().all(|it| it.level != Level::Bad)
    }

    /// For machines.
    pub fn to_json(&self) -> Value {
        json!({"good": self.is_good(), "findings": self.0})
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Finding { level, what, mend }) in self.0.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{:<5} {what}", level.as_str())?;
            if let Some(mend) = mend {
                write!(f, ". {mend}")?;
            }
        }
        Ok(())
    }
}

/// Looks at everything.
pub async fn examine(settings: &Settings) -> Diagnosis {
    let clock = Clock::system();
    let running = machine::running(settings);
    let mut findings = self::settings(settings, clock.now());
    findings.push(addresses::finding(settings));
    findings.push(running.finding(settings));
    findings.push(machine::clock(settings, clock.now()));
    findings.extend(machine::disk(settings));
    findings.push(machine::descriptors(&running));
    findings.extend(config_sizes(settings));
    let (store, silence) = match stores::look_at(settings) {
        Ok(Some(store)) => (Some(Arc::new(InTime::new(store)) as Arc<dyn Store>), String::new()),
        Ok(None) => (None, "there is no store yet".to_owned()),
        Err(error) => (None, format!("{error:#}")),
    };
    findings.extend(checkup(settings, &clock, store.as_deref(), &silence).await);
    findings.extend(redis::look(settings, &clock).await);
    findings.extend(journal(settings, store.ok_or(silence), &running).await);
    Diagnosis(findings)
}

/// That they can be read was found out before; here is what is wrong with them together.
fn settings(settings: &Settings, now: Time) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, address) in [
        ("BIND_IP", settings.node_ip()),
        ("ADMIN_BIND_IP", settings.admin_bind_ip),
    ] {
        if !settings.has_tls() && !address.is_loopback() {
            findings.push(Finding::warn(
                format!("{name} is {address}, and nothing on that listener is encrypted"),
                "Set TLS_CERT and TLS_KEY, or a loopback address behind a proxy that ends TLS.",
            ));
        }
    }
    match listeners::tls(settings) {
        Ok(None) => {}
        Ok(Some(tls)) => findings.extend(certificate(&tls, now)),
        Err(error) => findings.push(Finding::bad(
            error.to_string(),
            "Give TLS_CERT and TLS_KEY PEM files that belong together and that Core's user may read.",
        )),
    }
    if findings.is_empty() {
        findings.push(Finding::ok("the settings can be used"));
    }
    findings
}

/// What there is to say of how long it is good.
fn certificate(tls: &Tls, now: Time) -> Option<Finding> {
    let Some(validity) = tls.validity() else {
        return Some(Finding::warn(
            "until when the certificate in TLS_CERT is good can't be read from it",
            "See what `openssl x509 -noout -dates` says of it.",
        ));
    };
    let Validity { from, until } = validity;
    match validity.standing(now) {
        Standing::Good => None,
        Standing::Early => Some(Finding::bad(
            format!("the certificate in TLS_CERT is good from {from} on, and not yet"),
            "Look at this machine's clock, or give another one.",
        )),
        Standing::Ends => Some(Finding::warn(
            format!("the certificate in TLS_CERT ends at {until}"),
            "Renew it: new files are taken up without a restart.",
        )),
        Standing::Over => Some(Finding::bad(
            format!("the certificate in TLS_CERT has ended at {until}"),
            "Renew it: new files are taken up without a restart.",
        )),
    }
}

async fn checkup(settings: &Settings, clock: &Clock, store: Option<&dyn Store>, silence: &str) -> Vec<Finding> {
    let Some(store) = store else {
        return vec![if settings.database_url.is_some() {
            Finding::bad(format!("the store can't be asked: {silence}"), "Mend DATABASE_URL.")
        } else {
            Finding::ok("there is no embedded store yet: the first start makes it")
        }];
    };
    let checked = async {
        // The connection is there before the clocks are compared.
        store.ping().await?;
        store.checkup(clock.now()).await
    };
    checked.await.unwrap_or_else(|error| {
        let mend = if settings.database_url.is_some() {
            "Start the database, or mend DATABASE_URL; until then Core serves from memory and keeps reports in the journal."
        } else {
            "Look at core.db in DATA_DIR and at the disk under it."
        };
        vec![Finding::bad(error.to_string(), mend)]
    })
}

async fn journal(settings: &Settings, store: Result<Arc<dyn Store>, String>, running: &Running) -> Vec<Finding> {
    let dir = data_dir::journal(&settings.data_dir);
    if !dir.is_dir() {
        return vec![Finding::ok("there is no journal yet: the first start makes it")];
    }
    match journals::look(&dir, store).await {
        Ok(inspection) => vec![
            damage(&inspection),
            size(&inspection, settings.journal_max_bytes),
            backlog(&inspection, running),
        ],
        Err(error) => vec![Finding::bad(
            format!("the journal can't be read: {error:#}"),
            "Run doctor as the user that Core runs as, and look at the disk under DATA_DIR.",
        )],
    }
}

fn damage(inspection: &Inspection) -> Finding {
    let bad = inspection.generations().iter().filter(|it| it.report.damaged()).count();
    let lost: u64 = inspection.generations().iter().map(journals::Inspected::lost).sum();
    if bad == 0 {
        return Finding::ok("the journal is whole");
    }
    Finding::bad(
        format!("{bad} generations of the journal are damaged, {lost} records are lost"),
        "Check the disk, and see `vpn-core journal inspect`; what is whole is taken over all the same.",
    )
}

fn size(inspection: &Inspection, max: ByteSize) -> Finding {
    let bytes = ByteSize(inspection.generations().iter().map(journals::Inspected::bytes).sum());
    let what = format!("the journal takes {bytes} of at most {max}");
    let mend = "Bring the store back so that the journal drains, raise JOURNAL_MAX_BYTES, or lower JOURNAL_KEEP.";
    if bytes >= max {
        Finding::bad(format!("{what}: reports are refused"), mend)
    } else if bytes.0 > max.0 / 5 * 4 {
        Finding::warn(what, mend)
    } else {
        Finding::ok(what)
    }
}

fn backlog(inspection: &Inspection, running: &Running) -> Finding {
    let missing: Option<u64> = inspection.generations().iter().map(journals::Inspected::missing).sum();
    let Some(missing) = missing else {
        return Finding::warn(
            "how much of the journal the store lacks is not known",
            "Mend the store, and ask again.",
        );
    };
    let what = format!("the store lacks {missing} records of the journal");
    match running {
        Running::No if missing > 0 => Finding::warn(
            what,
            "Start Core on this folder, or run `vpn-core journal replay` on it.",
        ),
        _ if missing > ON_THE_WAY => Finding::warn(
            what,
            "See whether it grows: then the store is away, refuses, or is too slow; the log of Core says which.",
        ),
        _ => Finding::ok(what),
    }
}

/// By the snapshot, which is half a minute old at most while Core runs.
fn config_sizes(settings: &Settings) -> Option<Finding> {
    let large = snapshot::large_configs(&settings.data_dir).ok()?;
    let (node, bytes) = large.iter().max_by_key(|(_, bytes)| *bytes)?;
    Some(Finding::warn(
        format!(
            "the configs of {} nodes are above 3 MiB, that of node {node} is {}",
            large.len(),
            ByteSize(*bytes)
        ),
        "Raise the gRPC receive limit of their agents: 4 MiB is the default of most clients.",
    ))
}
