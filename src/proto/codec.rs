//! Protobuf as tonic's own codec reads it, but what can't be decoded is `INVALID_ARGUMENT`, since it is the caller's fault: tonic's codec
//! says `INTERNAL`, which agents retry. And what has too many items is not decoded.

use std::marker::PhantomData;

use bytes::Buf as _;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use crate::model::entry::MAX_ITEMS;

use super::bounds::{Bounded, too_long};

/// Encodes `E`, decodes `D`.
#[derive(Debug)]
pub struct NamedErrors<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for NamedErrors<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Codec for NamedErrors<E, D>
where
    E: prost::Message + Send + 'static,
    D: prost::Message + Bounded + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = NamedDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<E, D>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        NamedDecoder(PhantomData)
    }
}

/// Every call takes two buffers of this size, and most messages are smaller: with the 8 KiB of tonic's default those of the calls under way do not fit
/// into a processor's cache. A larger message gets what it needs.
fn buffers() -> BufferSettings {
    BufferSettings::new(512, 32 << 10)
}

/// Decodes `D`.
#[derive(Debug)]
pub struct NamedDecoder<D>(PhantomData<D>);

impl<D: prost::Message + Bounded + Default> Decoder for NamedDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // tonic gives a message as one piece, and a plain slice is read with fewer checks than its buffer.
        let message = buf.chunk();
        if let Some(list) = too_long::<D>(message) {
            return Err(Status::invalid_argument(format!(
                "{list} must have at most {MAX_ITEMS} items"
            )));
        }
        let mut decoded = D::with_room(message.len());
        decoded
            .merge(message)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        buf.advance(buf.remaining());
        Ok(Some(decoded))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}
