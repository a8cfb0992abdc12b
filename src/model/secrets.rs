//! Keys, codes and tokens: how they are made, what their text looks like, and the hash that alone is kept.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{NodeId, Time, TokenId, named};

/// SHA-256 of a secret's whole text: all that Core keeps of it. The secrets have 128 random bits or more, so a
/// plain hash can't be turned back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// The hash of this text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(***)")
    }
}

/// A new key for a node: `core_node_<id>_<43 base64url>_<crc32>`, 256 random bits.
pub fn new_node_key(node: NodeId) -> SecretString {
    sealed(&format!("core_node_{node}_{}", random_text::<32>()))
}

/// A new admin token: `core_admin_<43 base64url>_<crc32>`, 256 random bits.
pub fn new_admin_token() -> SecretString {
    sealed(&format!("core_admin_{}", random_text::<32>()))
}

/// A new registration code: `core_code_<24 base64url>`, 144 random bits.
pub fn new_registration_code() -> SecretString {
    format!("core_code_{}", random_text::<18>()).into()
}

/// Whether this text has the form of a key that [`new_node_key`] makes, its checksum included: only such a text is worth a
/// question to the store.
pub fn is_well_formed_node_key(text: &str) -> bool {
    let Some((body, sum)) = text.rsplit_once('_') else {
        return false;
    };
    let Some(rest) = body.strip_prefix("core_node_") else {
        return false;
    };
    let Some((id, random)) = rest.split_once('_') else {
        return false;
    };
    id.parse::<i64>().is_ok_and(|id| id > 0) && random.len() == 43 && sum == checksum(body)
}

/// Makes keys inside a store's transaction, where the node's id is known, and keeps the text of the last one outside of it.
#[derive(Default)]
pub struct KeyIssuer(Mutex<Option<SecretString>>);

impl KeyIssuer {
    /// Makes a key for this node; gives the hash that is kept.
    pub fn issue(&self, node: NodeId) -> SecretHash {
        let key = new_node_key(node);
        let hash = SecretHash::of(key.expose_secret());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        hash
    }

    /// The text of the last key that was made.
    pub fn into_secret(self) -> Option<SecretString> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random_text<const N: usize>() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; N]>())
}

fn sealed(body: &str) -> SecretString {
    let sum = checksum(body);
    format!("{body}_{sum}").into()
}

fn checksum(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

named! {
    /// What a token may do.
    Role {
        /// Everything.
        Admin = "admin",
        /// Reading, without secrets.
        Viewer = "viewer",
    }
}

/// An admin token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminToken {
    /// Identity.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Time,
    /// When it ends; none = never.
    pub expires_at: Option<Time>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Time>,
}

/// An admin token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The hash of its secret.
    pub hash: SecretHash,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Now.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_well_formed_and_a_typo_is_not() {
        let key = new_node_key(NodeId(17));
        let text = key.expose_secret();
        assert!(text.starts_with("core_node_17_"));
        assert!(is_well_formed_node_key(text));
        assert!(!is_well_formed_node_key(&text.replace("core_node_17", "core_node_18")));
        for bad in ["", "_", "core_node_", "core_node_1_x_00000000", "secret"] {
            assert!(!is_well_formed_node_key(bad), "{bad}");
        }
    }

    #[test]
    fn secrets_differ_and_do_not_print() {
        assert_ne!(
            SecretHash::of(new_admin_token().expose_secret()),
            SecretHash::of(new_admin_token().expose_secret())
        );
        assert_eq!(format!("{:?}", SecretHash::of("x")), "SecretHash(***)");
        assert!(!format!("{:?}", new_registration_code()).contains("core_code_"));
    }
}
