//! RPCs as bytes, for what no typed client can say.

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

/// The seven.
pub const METHODS: [&str; 7] = [
    "Heartbeat",
    "ReportUsage",
    "ReportOutboundUsage",
    "GetLatestConfig",
    "ConfirmConfigApplied",
    "ReportNodeStats",
    "ReportOnlineUsers",
];

/// A message that decodes and holds what its method requires, without a key.
pub fn good_message(method: &str) -> Vec<u8> {
    match method {
        "ReportNodeStats" => message_field(2, &[]),
        _ => Vec::new(),
    }
}

/// A connection that carries any bytes.
pub struct Raw(Channel);

impl Raw {
    /// Connects.
    pub fn connect(port: u16) -> Self {
        let endpoint: Endpoint = format!("http://127.0.0.1:{port}").parse().expect("a URL");
        Self(endpoint.connect_lazy())
    }

    /// Calls a method of `NodeService` with these bytes as the message.
    pub async fn call(&self, method: &str, key: Option<&str>, message: Vec<u8>) -> Result<Bytes, Status> {
        self.packed(None, method, key, message).await
    }

    /// The same, packed.
    pub async fn packed(
        &self,
        packing: Option<CompressionEncoding>,
        method: &str,
        key: Option<&str>,
        message: Vec<u8>,
    ) -> Result<Bytes, Status> {
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(usize::MAX);
        if let Some(packing) = packing {
            grpc = grpc.send_compressed(packing).accept_compressed(packing);
        }
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let mut request = Request::new(message);
        if let Some(key) = key {
            request
                .metadata_mut()
                .insert("x-node-auth-key", key.parse().expect("a key is ASCII"));
        }
        let path = format!("/nodeservice.NodeService/{method}").parse().expect("a path");
        grpc.unary(request, path, AnyBytes)
            .await
            .map(tonic::Response::into_inner)
    }
}

/// A number, in protobuf's wire form.
pub fn int_field(field: u32, value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(field, prost::encoding::WireType::Varint, &mut bytes);
    prost::encoding::encode_varint(value.cast_unsigned(), &mut bytes);
    bytes
}

/// A text.
pub fn text_field(field: u32, value: &str) -> Vec<u8> {
    message_field(field, value.as_bytes())
}

/// A message within a message, or any bytes.
pub fn message_field(field: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, &mut bytes);
    prost::encoding::encode_varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

#[derive(Debug, Clone, Copy)]
struct AnyBytes;

impl Codec for AnyBytes {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for AnyBytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for AnyBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
