//! A certificate authority of a test's own.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use vpn_core::model::Time;

/// See the module.
pub struct Authority {
    /// Its own certificate.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, whom nobody knows yet.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        let pem = params.self_signed(&key).expect("it can be made").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for this host, and its key.
    pub fn sign(&self, host: &str) -> (String, String) {
        self.sign_as(&CertificateParams::new(vec![host.to_owned()]).expect("it is a host"))
    }

    /// The same, good in these times only.
    pub fn sign_for(&self, host: &str, good: Range<Time>) -> (String, String) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("it is a host");
        let time = |it: Time| SystemTime::UNIX_EPOCH + Duration::from_millis(it.millis().cast_unsigned());
        (params.not_before, params.not_after) = (time(good.start).into(), time(good.end).into());
        self.sign_as(&params)
    }

    fn sign_as(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().expect("there is randomness");
        let signed = params.signed_by(&key, &self.issuer).expect("it can be made");
        (signed.pem(), key.serialize_pem())
    }
}
