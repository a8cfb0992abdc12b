//! The certificate of all listeners, and how a new one takes its place while connections go on.

mod validity;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;

use validity::Teller;
pub use validity::{Standing, Validity};

/// How often it is looked whether the files changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// HTTP/2, as ALPN names it.
pub const H2: &[u8] = b"h2";

/// HTTP/1.1, as ALPN names it.
pub const HTTP_1: &[u8] = b"http/1.1";

/// Why a pair can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file can't be read.
    #[error("{setting}: {path} can't be read: {error}")]
    Unreadable {
        /// Which of the two.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is nothing in it that can be used.
    #[error("TLS_CERT: {0} has no chain of PEM certificates")]
    NoCertificate(PathBuf),
    /// There is nothing in it that can be used.
    #[error("TLS_KEY: {0} has no PEM private key")]
    NoKey(PathBuf),
    /// They are no pair.
    #[error("TLS_CERT and TLS_KEY can't be used together: {0}")]
    NoPair(rustls::Error),
    /// There is no TLS without these.
    #[error("TLS can't be set up: {0}")]
    Setup(rustls::Error),
}

/// The files.
#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// How a file looks from outside, behind all links. Another one that looks the same is hardly possible: inode, length and time are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    place: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

/// Both files; none = there is no such file, or it can't be looked at.
type Looks = [Option<Look>; 2];

/// What new connections are shown.
struct Shown(ArcSwap<CertifiedKey>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// A pair that is in use.
#[derive(Debug)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    files: Files,
    shown: Arc<Shown>,
    /// How the files looked when they were read.
    look: Looks,
}

impl Tls {
    /// Reads the pair.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let look = files.look();
        let pair = files.read(&provider)?;
        Ok(Self {
            provider,
            files,
            shown: Arc::new(Shown(ArcSwap::from_pointee(pair))),
            look,
        })
    }

    /// Shakes hands with clients that speak one of these, the best first.
    pub fn acceptor(&self, protocols: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// When the certificate is good; none if that can't be read from it.
    pub fn validity(&self) -> Option<Validity> {
        Validity::of(&self.shown.0.load())
    }

    /// Looks after the files until nobody accepts connections any more, and tells when the certificate ends. Belongs on a tokio runtime.
    pub fn follow(self, clock: Clock) {
        let mut follower = Follower {
            clock,
            teller: Teller::new(&self.shown.0.load()),
            provider: self.provider,
            files: self.files,
            shown: Arc::downgrade(&self.shown),
            read: self.look,
            broken: None,
            told: false,
        };
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while follower.shown.strong_count() > 0 {
                ticks.tick().await;
                let looked = tokio::task::spawn_blocking(move || {
                    follower.look();
                    follower.teller.tell(follower.clock.now());
                    follower
                });
                let Ok(back) = looked.await else {
                    tracing::error!("nobody looks after TLS_CERT and TLS_KEY any more: restart to use new ones");
                    return;
                };
                follower = back;
            }
        });
    }
}

/// Notices new files, and takes them when they are good.
struct Follower {
    clock: Clock,
    teller: Teller,
    provider: Arc<CryptoProvider>,
    files: Files,
    shown: Weak<Shown>,
    /// How the files looked that are in use.
    read: Looks,
    /// How they looked when they were no pair.
    broken: Option<Looks>,
    /// That was told.
    told: bool,
}

impl Follower {
    fn look(&mut self) {
        let now = self.files.look();
        if now == self.read {
            (self.broken, self.told) = (None, false);
            return;
        }
        match self.files.read(&self.provider) {
            Ok(pair) => {
                self.teller = Teller::new(&pair);
                if let Some(shown) = self.shown.upgrade() {
                    shown.0.store(Arc::new(pair));
                }
                (self.read, self.broken, self.told) = (now, None, false);
                tracing::info!("TLS_CERT and TLS_KEY have changed: new connections are shown the new certificate");
            }
            // Two files never change at once: what is no pair now may be one at the next look.
            Err(error) if self.broken.as_ref() == Some(&now) && !self.told => {
                self.told = true;
                tracing::error!(%error, "TLS_CERT and TLS_KEY have changed and can't be used: the old certificate is kept");
            }
            Err(_) => self.broken = Some(now),
        }
    }
}

impl Files {
    fn look(&self) -> Looks {
        use std::os::unix::fs::MetadataExt as _;
        let one = |path: &Path| {
            let it = std::fs::metadata(path).ok()?;
            Some(Look {
                place: (it.dev(), it.ino()),
                length: it.len(),
                changed: (it.mtime(), it.mtime_nsec()),
            })
        };
        [one(&self.certificate), one(&self.key)]
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = bytes("TLS_CERT", &self.certificate)?;
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::NoCertificate(self.certificate.clone()))?;
        let key = bytes("TLS_KEY", &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(self.key.clone()))?;
        CertifiedKey::from_der(chain, key, provider).map_err(TlsError::NoPair)
    }
}

fn bytes(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable {
        setting,
        path: path.to_owned(),
        error,
    })
}
