//! Whether an inlined certificate is one, and its key the right one: Xray starts with garbage, and no client gets through.

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde_json::Value;

/// Checks one element of `tlsSettings.certificates`: two file names, or a chain and its key inlined as lines.
pub fn check(entry: &Value) -> Result<(), String> {
    let file = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .is_some_and(|path| !path.is_empty())
    };
    if file("certificateFile") && file("keyFile") {
        return Ok(());
    }
    let (Some(chain), Some(key)) = (lines(entry, "certificate"), lines(entry, "key")) else {
        return Err("needs certificateFile and keyFile, or certificate and key".to_owned());
    };
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or("certificate is not PEM")?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "key is not a PEM private key")?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|_| "key is of no known kind")?;
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err("key does not belong to certificate".to_owned()),
        Err(_) => Err("certificate is not an X.509 certificate".to_owned()),
    }
}

fn lines(entry: &Value, name: &str) -> Option<String> {
    let lines = entry.get(name)?.as_array()?;
    let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
    lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(certificate: &str, key: &str) -> Value {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        json!({"certificate": lines(certificate), "key": lines(key)})
    }

    #[test]
    fn a_pair_must_be_one() {
        let made = || rcgen::generate_simple_self_signed(["edge.example.test".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let (chain, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        assert_eq!(check(&entry(&chain, &key)), Ok(()));
        assert_eq!(check(&json!({"certificateFile": "a", "keyFile": "b"})), Ok(()));
        let wrong = |entry: &Value| check(entry).unwrap_err();
        assert_eq!(
            wrong(&entry(&chain, &other.signing_key.serialize_pem())),
            "key does not belong to certificate"
        );
        assert_eq!(wrong(&entry("garbage", &key)), "certificate is not PEM");
        assert_eq!(wrong(&entry(&chain, "garbage")), "key is not a PEM private key");
        assert!(wrong(&json!({"certificateFile": "a"})).starts_with("needs "));
    }
}
