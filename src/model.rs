//! What Core talks about: plain values, no async, no wire formats, no SQL.

pub mod address;
pub mod carried;
pub mod catalog;
pub mod catalog_change;
pub mod clients;
pub mod entry;
pub mod event;
pub mod finding;
pub mod fold;
pub mod ids;
pub mod json;
pub mod node;
pub mod node_config;
mod packed;
pub mod piece;
pub mod presence;
pub mod quota;
pub mod secrets;
pub mod session;
pub mod stats;
pub mod suspect;
pub mod time;
pub mod usage;

pub use ids::{
    CodeId, JournalId, KeyId, LinkId, LsId, NodeId, OutboundId, Position, ProtocolId, SubscriptionId, TokenId, UserId,
};
pub use time::Time;

/// An enum whose variants have one name each, the same in JSON, in the store and in messages.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name of this variant.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|it| it.as_str() == text).ok_or_else(|| $crate::model::UnknownName {
                    what: stringify!($name),
                    name: text.to_owned(),
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use named;

/// A name that no variant of an enum has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a {what}")]
pub struct UnknownName {
    /// The enum.
    pub what: &'static str,
    /// The name that was given.
    pub name: String,
}
