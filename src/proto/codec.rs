//! Protobuf as tonic's own codec reads it, but what can't be decoded is `INVALID_ARGUMENT`, since it is the caller's fault: tonic's codec
//! says `INTERNAL`, which agents retry.

use std::marker::PhantomData;

use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

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
    D: prost::Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = NamedDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<E, D>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        NamedDecoder(PhantomData)
    }
}

/// Decodes `D`.
#[derive(Debug)]
pub struct NamedDecoder<D>(PhantomData<D>);

impl<D: prost::Message + Default> Decoder for NamedDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(buf)
            .map(Some)
            .map_err(|error| Status::invalid_argument(error.to_string()))
    }
}
