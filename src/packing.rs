//! How requests may be packed, over HTTP and gRPC alike.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

/// An encoding that Core reads, by its name in HTTP and gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the encoding of its name")]
pub enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// The encoding with this name, if Core reads it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Unpacks as it is read.
    pub fn reader(self, packed: &[u8]) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(zstd::Decoder::new(packed)?),
        })
    }
}
