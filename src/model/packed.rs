//! A text that is kept for long and read seldom: packed by zstd, at its fastest level.

use std::{cell::RefCell, fmt, io};

use zstd::bulk::{Compressor, Decompressor};

/// A larger text stays as it is: to unpack it would hold up whoever shares the thread for longer than some milliseconds.
const PACKED_MAX: usize = 4 << 20;

/// The least work: level 3 makes a config of 1,000 clients only 3 % smaller.
const LEVEL: i32 = 1;

thread_local! {
    /// Made once a thread, so that what they work in is not made anew for each text.
    static PACKER: RefCell<io::Result<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL));
    static UNPACKER: RefCell<io::Result<Decompressor<'static>>> = RefCell::new(Decompressor::new());
}

/// See the module.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed {
    bytes: Box<[u8]>,
    /// Of the text.
    length: usize,
}

impl Packed {
    /// Packs a text. One that can't be made smaller is kept as it is.
    pub fn new(text: &str) -> Self {
        let packed = (text.len() <= PACKED_MAX).then(|| pack(text.as_bytes())).flatten();
        let smaller = packed.filter(|packed| packed.len() < text.len());
        Self {
            bytes: smaller.unwrap_or_else(|| text.into()).into(),
            length: text.len(),
        }
    }

    /// How long the text is, in bytes.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// The text.
    pub fn text(&self) -> String {
        let bytes = if self.bytes.len() == self.length {
            self.bytes.to_vec()
        } else {
            unpack(&self.bytes, self.length)
        };
        String::from_utf8(bytes).expect("it was a text")
    }
}

fn pack(text: &[u8]) -> Option<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| packer.as_mut().ok()?.compress(text).ok())
}

/// What was packed here, never what came from elsewhere: it can only fail where there is no memory left.
fn unpack(packed: &[u8], length: usize) -> Vec<u8> {
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacked = match unpacker {
            Ok(unpacker) => unpacker.decompress(packed, length),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        unpacked.expect("it was packed here")
    })
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {}", self.length, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_comes_back(text in ".*", times in 1..200_usize) {
            for text in [text.repeat(times), text] {
                let packed = Packed::new(&text);
                prop_assert_eq!(packed.len(), text.len());
                prop_assert!(packed.bytes.len() <= text.len());
                prop_assert_eq!(packed.text(), text);
            }
        }
    }

    #[test]
    fn what_repeats_is_small_and_what_is_very_large_stays() {
        let repeated = Packed::new(&r#"{"email":"u1.l1.s1.i11"}"#.repeat(1_000));
        assert!(repeated.bytes.len() < 200, "{repeated:?}");
        let large = Packed::new(&"a".repeat(PACKED_MAX + 1));
        assert_eq!(large.bytes.len(), PACKED_MAX + 1);
        assert_eq!(large.text().len(), large.len());
    }
}
