//! From when until when a certificate is good, and who is told that it ends.

use std::time::Duration;

use rustls::{pki_types::CertificateDer, sign::CertifiedKey};
use x509_cert::{Certificate, der::Decode as _};

use crate::model::Time;

/// So long before its end a certificate should have been renewed, whatever its life.
const ENDS_WITHIN: Duration = Duration::from_secs(14 * DAY.as_secs());

/// And so much of its life may be left at most: certificates of six days are renewed every few days.
const ENDS_WITHIN_SHARE: u32 = 5;

/// How often it is told again.
const DAY: Duration = Duration::from_hours(24);

/// What its own `notBefore` and `notAfter` say (RFC 5280, section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`.
    pub from: Time,
    /// `notAfter`.
    pub until: Time,
}

/// How a certificate stands at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not good yet.
    Early,
    /// It is good.
    Good,
    /// It is good, and should have been renewed by now.
    Ends,
    /// It is good no more.
    Over,
}

impl Validity {
    /// Of the certificate that is shown first, which is the server's own; none if it can't be read.
    pub fn of(pair: &CertifiedKey) -> Option<Self> {
        Self::read(pair.cert.first()?)
    }

    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let validity = Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
        let time = |it: x509_cert::time::Time| {
            let millis = i64::try_from(it.to_unix_duration().as_millis()).ok()?;
            Some(Time::from_millis(millis))
        };
        Some(Self {
            from: time(validity.not_before)?,
            until: time(validity.not_after)?,
        })
    }

    /// How it stands now.
    pub fn standing(self, now: Time) -> Standing {
        let soon = ENDS_WITHIN.min(self.until.since(self.from) / ENDS_WITHIN_SHARE);
        if now < self.from {
            Standing::Early
        } else if now > self.until {
            Standing::Over
        } else if self.until.since(now) < soon {
            Standing::Ends
        } else {
            Standing::Good
        }
    }
}

/// Tells, in the log and the metrics, how the certificate in use stands: when it has changed, and once a day.
#[derive(Debug)]
pub struct Teller {
    validity: Option<Validity>,
    told: Option<(Standing, Time)>,
}

impl Teller {
    /// Nothing was told of this one.
    pub fn new(pair: &CertifiedKey) -> Self {
        Self {
            validity: Validity::of(pair),
            told: None,
        }
    }

    /// Tells it where there is something to tell.
    pub fn tell(&mut self, now: Time) {
        let seconds = |it: Validity| it.until.since(Time::from_millis(0)).as_secs_f64();
        metrics::gauge!("core_tls_certificate_expires_timestamp_seconds").set(self.validity.map_or(f64::NAN, seconds));
        let Some(validity) = self.validity else { return };
        let Validity { from, until } = validity;
        let standing = validity.standing(now);
        if self
            .told
            .is_some_and(|(what, at)| what == standing && now.since(at) < DAY)
        {
            return;
        }
        self.told = Some((standing, now));
        match standing {
            Standing::Early => {
                tracing::error!(%from, "the certificate in TLS_CERT is not good yet: who checks it does not connect");
            }
            Standing::Good => {}
            Standing::Ends => tracing::warn!(%until, "the certificate in TLS_CERT ends soon"),
            Standing::Over => {
                tracing::error!(%until, "the certificate in TLS_CERT has ended: who checks it does not connect");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn it_is_told_in_time_whatever_its_life() {
        let day = |days: u64| Time::from_millis(0).plus(DAY * u32::try_from(days).unwrap());
        let at = |life: u64, now: u64| {
            let (from, until) = (day(1_000), day(1_000 + life));
            Validity { from, until }.standing(day(now))
        };
        assert_eq!(at(90, 999), Standing::Early);
        assert_eq!(at(90, 1_000), Standing::Good);
        // It is renewed with thirty days left as a rule.
        assert_eq!(at(90, 1_076), Standing::Good);
        assert_eq!(at(90, 1_077), Standing::Ends);
        assert_eq!(at(90, 1_090), Standing::Ends);
        assert_eq!(at(90, 1_091), Standing::Over);
        assert_eq!(at(3_650, 4_636), Standing::Good);
        assert_eq!(at(3_650, 4_637), Standing::Ends);
        assert_eq!(at(6, 1_004), Standing::Good);
        assert_eq!(at(6, 1_005), Standing::Ends);
    }

    #[test]
    fn it_is_read_from_the_certificate() {
        let mut params = CertificateParams::new(vec!["core.example.test".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2051, 3, 4);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let time = |text| Time::parse_rfc3339(text).unwrap();
        let validity = Validity {
            from: time("2026-01-02T00:00:00Z"),
            until: time("2051-03-04T00:00:00Z"),
        };
        assert_eq!(Validity::read(made.der()), Some(validity));
        assert_eq!(Validity::read(&CertificateDer::from(b"none".to_vec())), None);
    }
}
