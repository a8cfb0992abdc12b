//! The body of a call as tonic reads it, and the messages in it that are packed.
//!
//! tonic unpacks into a buffer that doubles as it grows and leaves its smaller selves behind: one call could hold four times the largest message.
//! So a packed message is unpacked before tonic sees it, in pieces that go as they are read.

use std::{
    collections::VecDeque,
    io::Read as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes};
use http::{HeaderMap, HeaderName, Request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tonic::Status;

use crate::{connection::Turn, packing::Packing};

/// The largest message that is read, also after it is unpacked.
pub const REQUEST_MAX: usize = 8 << 20;

/// A message's head: whether it is packed, and its length.
const HEAD: usize = 5;

/// Looked for in every call.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// So much is unpacked before others have their turn.
const PIECE: usize = 64 << 10;

/// A request's body: when its end is seen, the request is whole.
pub struct Reading {
    source: Source,
    turn: Arc<Turn>,
}

enum Source {
    Peer(Incoming),
    Unpacked(VecDeque<Bytes>),
}

impl Reading {
    /// A body as it comes.
    pub const fn new(peer: Incoming, turn: Arc<Turn>) -> Self {
        Self {
            source: Source::Peer(peer),
            turn,
        }
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.source {
            Source::Peer(peer) => Pin::new(peer).poll_frame(cx),
            Source::Unpacked(pieces) => return Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
        };
        if matches!(frame, Poll::Ready(None)) || this.is_end_stream() {
            this.turn.whole();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Peer(peer) => peer.is_end_stream(),
            Source::Unpacked(pieces) => pieces.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Peer(peer) => peer.size_hint(),
            Source::Unpacked(_) => SizeHint::default(),
        }
    }
}

/// How the messages of a call with these headers are packed. What Core can't read is left to tonic, which has words for it.
pub fn packing(headers: &HeaderMap) -> Option<Packing> {
    let name = headers.get(&ENCODING)?;
    Packing::named(name.to_str().ok()?)
}

/// The same request of one message with nothing packed in it. What is not as it should be is left to tonic.
pub async fn unpacked(mut request: Request<Reading>, packing: Packing) -> Result<Request<Reading>, Status> {
    let body = request.body_mut();
    let message = message(body).await?;
    let pieces = match message.split_at_checked(HEAD) {
        Some(([1, ..], packed)) => unpack(packing, packed).await?,
        _ => VecDeque::from([message.into()]),
    };
    body.source = Source::Unpacked(pieces);
    Ok(request)
}

/// The message with its head, or what there is of it.
async fn message(body: &mut Reading) -> Result<Vec<u8>, Status> {
    let mut message = Vec::new();
    let mut length = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::from_error(error.into()))?;
        let Ok(data) = frame.into_data() else { continue };
        let mut data = &data[..];
        if length.is_none() {
            let head;
            (head, data) = data.split_at(data.len().min(HEAD - message.len()));
            message.extend_from_slice(head);
            if let [_, a, b, c, d] = message[..] {
                let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                if size > REQUEST_MAX {
                    return Err(too_large());
                }
                // Of which only what comes is ever touched.
                message.reserve_exact(size);
                length = Some(HEAD + size);
            }
        }
        if length.is_some_and(|length| message.len() + data.len() > length) {
            return Err(Status::internal("a call has one message, and here is more than one"));
        }
        message.extend_from_slice(data);
    }
    Ok(message)
}

async fn unpack(packing: Packing, packed: &[u8]) -> Result<VecDeque<Bytes>, Status> {
    let unreadable = |error: std::io::Error| Status::internal(format!("the message can't be unpacked: {error}"));
    let mut reader = packing.reader(packed).map_err(unreadable)?;
    let (mut pieces, mut size) = (VecDeque::new(), 0);
    loop {
        let mut piece = Vec::with_capacity(PIECE.min(REQUEST_MAX + 1 - size));
        let most = piece.capacity() as u64;
        size += (&mut reader).take(most).read_to_end(&mut piece).map_err(unreadable)?;
        if size > REQUEST_MAX {
            return Err(too_large());
        }
        if piece.is_empty() {
            break;
        }
        pieces.push_back(piece.into());
        tokio::task::yield_now().await;
    }
    let mut head = Vec::with_capacity(HEAD);
    head.put_u8(0);
    head.put_u32(u32::try_from(size).expect("no more than the largest message"));
    pieces.push_front(head.into());
    Ok(pieces)
}

fn too_large() -> Status {
    Status::resource_exhausted(format!("the message is larger than {REQUEST_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn whole(packing: Packing, packed: &[u8]) -> Result<Vec<u8>, Status> {
        Ok(Vec::from(unpack(packing, packed).await?).concat())
    }

    #[tokio::test]
    async fn a_message_is_the_same_unpacked() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, REQUEST_MAX] {
            let message: Vec<u8> = (0..=250_u8).cycle().flat_map(|n| [n; 7]).take(size).collect();
            let packed = [
                (Packing::Gzip, gzip(&message)),
                (Packing::Zstd, zstd::encode_all(&message[..], 1).unwrap()),
            ];
            for (packing, packed) in packed {
                let unpacked = whole(packing, &packed).await.unwrap();
                assert_eq!(unpacked[0], 0);
                assert_eq!(unpacked[1..HEAD], u32::try_from(size).unwrap().to_be_bytes());
                assert!(unpacked[HEAD..] == message, "{packing:?} of {size} bytes");
            }
        }
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_packing_is_refused() {
        let large = gzip(&vec![0; REQUEST_MAX + 1]);
        let refused = whole(Packing::Gzip, &large).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        let refused = whole(Packing::Gzip, b"no gzip").await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Internal);
        let cut = &gzip(b"a message")[..12];
        assert_eq!(
            whole(Packing::Gzip, cut).await.unwrap_err().code(),
            tonic::Code::Internal
        );
    }
}
