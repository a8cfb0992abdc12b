//! A rendered config: made once per change, kept packed, served as the bytes that were made.

use std::{fmt, ops::Range};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::packed::Packed;

/// A config larger than this is above what gRPC clients take by default (4 MiB): agents must raise their limit.
pub const CONFIG_LARGE: usize = 3 << 20;

/// What a body has around its parts, at most.
const FRAME: usize = 88;

/// SHA-256 of a config's content, without its revision.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConfigHash(pub [u8; 32]);

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigHash({self})")
    }
}

/// What the renderer makes of the catalogue for one node: three JSON objects in canonical form (keys sorted), and what had to be
/// left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `clientMap`.
    pub client_map: String,
    /// `mtprotoClientMap`.
    pub mtproto_client_map: String,
    /// `services`.
    pub services: String,
    /// The hash of the services without their users: while it stays, an agent can change users without a restart.
    pub structure: ConfigHash,
    /// The hash of the users of all inbounds.
    pub users: ConfigHash,
    /// Rows that were left out.
    pub problems: Vec<ConfigProblem>,
}

impl ConfigHash {
    /// The hash of these texts in order.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        Self(hash.finalize().into())
    }
}

impl Rendered {
    /// The hash that decides whether the revision moves.
    pub fn hash(&self) -> ConfigHash {
        ConfigHash::of([self.client_map.as_str(), &self.mtproto_client_map, &self.services])
    }
}

/// A catalogue row that was left out of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// Its table.
    pub table: &'static str,
    /// Its id.
    pub id: i64,
    /// What is wrong with it.
    pub message: String,
}

/// A config under its revision. A fleet has one a node and a node asks for it when it has changed, so it is kept packed: 1,000 clients are 202 KB, and
/// 39 KB packed.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeConfig {
    revision: i64,
    hash: ConfigHash,
    body: Packed,
    parts: [Range<usize>; 3],
    structure: ConfigHash,
    users: ConfigHash,
    problems: Vec<ConfigProblem>,
}

impl NodeConfig {
    /// Puts a rendered config under a revision.
    pub fn new(revision: i64, rendered: Rendered) -> Self {
        let hash = rendered.hash();
        let Rendered {
            client_map,
            mtproto_client_map,
            services,
            structure,
            users,
            problems,
        } = rendered;
        let mut body = String::with_capacity(FRAME + client_map.len() + mtproto_client_map.len() + services.len());
        body.push_str("{\"revision\":");
        body.push_str(&revision.to_string());
        let mut part = |name: &str, json: &str| {
            body.push_str(",\"");
            body.push_str(name);
            body.push_str("\":");
            let start = body.len();
            body.push_str(json);
            start..body.len()
        };
        let parts = [
            part("clientMap", &client_map),
            part("mtprotoClientMap", &mtproto_client_map),
            part("services", &services),
        ];
        body.push('}');
        Self {
            revision,
            hash,
            body: Packed::new(&body),
            parts,
            structure,
            users,
            problems,
        }
    }

    /// The same content under another revision.
    pub fn with_revision(&self, revision: i64) -> Self {
        Self::new(revision, self.rendered())
    }

    /// What the renderer made. Unpacks it.
    pub fn rendered(&self) -> Rendered {
        let body = self.body.text();
        let [client_map, mtproto_client_map, services] = self.parts.clone().map(|part| body[part].to_owned());
        let problems = self.problems.clone();
        Rendered {
            client_map,
            mtproto_client_map,
            services,
            structure: self.structure,
            users: self.users,
            problems,
        }
    }

    /// The hash of the services without their users.
    pub const fn structure(&self) -> ConfigHash {
        self.structure
    }

    /// The hash of the users of all inbounds.
    pub const fn users(&self) -> ConfigHash {
        self.users
    }

    /// The revision.
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// The hash of the content.
    pub const fn hash(&self) -> ConfigHash {
        self.hash
    }

    /// The whole as one JSON object. Unpacks it.
    pub fn body(&self) -> String {
        self.body.text()
    }

    /// How long the whole is, in bytes.
    pub const fn body_len(&self) -> usize {
        self.body.len()
    }

    /// The HTTP entity tag: one config, one tag.
    pub fn etag(&self) -> String {
        format!("\"{}-{}\"", self.revision, &self.hash.to_string()[..16])
    }

    /// The catalogue rows that were left out.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig")
            .field("revision", &self.revision)
            .field("hash", &self.hash)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_parts_under_a_revision() {
        let rendered = Rendered {
            client_map: r#"{"1":2}"#.to_owned(),
            mtproto_client_map: "{}".to_owned(),
            services: r#"{"xray":{}}"#.to_owned(),
            structure: ConfigHash([1; 32]),
            users: ConfigHash([2; 32]),
            problems: Vec::new(),
        };
        let config = NodeConfig::new(4, rendered);
        assert_eq!(
            config.body(),
            r#"{"revision":4,"clientMap":{"1":2},"mtprotoClientMap":{},"services":{"xray":{}}}"#
        );
        let later = config.with_revision(5);
        assert_eq!((later.revision(), later.hash()), (5, config.hash()));
        assert_eq!(later.rendered().services, r#"{"xray":{}}"#);
        assert_ne!(later.etag(), config.etag());
    }
}
