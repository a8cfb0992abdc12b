//! Reading bodies: bounded, and with errors that name the field.

use std::{
    io::{self, Read},
    marker::PhantomData,
};

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
    web,
};
use futures_util::StreamExt as _;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

use crate::{
    model::json::{Room, bounded},
    packing::Packing,
};

use super::{error::ApiError, turns};

/// The largest body, also after decompression.
const BODY_MAX: usize = 8 << 20;

/// Reads a body and decodes it.
pub async fn json<T: DeserializeOwned>(request: &HttpRequest, payload: web::Payload) -> Result<T, ApiError> {
    within(Room::REQUEST, request, payload).await
}

/// Reads the fields of one row of the catalogue, as they were written.
pub async fn row(request: &HttpRequest, payload: web::Payload) -> Result<Map<String, Value>, ApiError> {
    within(Room::ROW, request, payload).await
}

async fn within<T: DeserializeOwned>(room: Room, request: &HttpRequest, payload: web::Payload) -> Result<T, ApiError> {
    is_json(request)?;
    let body = read(request, payload).await?;
    decode_within(room, &body)
}

/// Decodes a body that may be empty: then it is `{}`.
pub async fn json_or_empty<T: DeserializeOwned>(request: &HttpRequest, payload: web::Payload) -> Result<T, ApiError> {
    let body = read(request, payload).await?;
    if body.is_empty() {
        return decode(b"{}");
    }
    is_json(request)?;
    decode(&body)
}

/// Decodes JSON; the first bad field is named by its path.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    decode_within(Room::REQUEST, body)
}

fn decode_within<T: DeserializeOwned>(room: Room, body: &[u8]) -> Result<T, ApiError> {
    bounded(body, room).map_err(|error| ApiError::bad_request(error.to_string()))?;
    // serde_json itself does not look into texts that nobody reads.
    let body = std::str::from_utf8(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not valid JSON: {error}")))?;
    let mut reader = serde_json::Deserializer::from_str(body);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        // A choice that is no text is a syntax error to serde_json, though the body is JSON.
        let is_json = || serde_json::from_str::<de::IgnoredAny>(body).is_ok();
        if error.inner().is_syntax() && is_json() {
            return ApiError::bad_request(format!("{path} must be a string"));
        }
        ApiError::bad_request(wording(&path, error.inner()))
    })?;
    reader
        .end()
        .map_err(|error| ApiError::bad_request(format!("the body is not valid JSON: {error}")))?;
    Ok(value)
}

/// A struct that is written as an object. serde would also take an array, for the fields in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// An integer within i64. serde's own words for one name the Rust type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int(pub i64);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntVisitor;

        impl Visitor<'_> for IntVisitor {
            type Value = Int;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an integer")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Int, E> {
                Ok(Int(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Int, E> {
                i64::try_from(value)
                    .map(Int)
                    .map_err(|_| E::custom("must be an integer of at most 2^63-1"))
            }
        }

        deserializer.deserialize_i64(IntVisitor)
    }
}

fn is_json(request: &HttpRequest) -> Result<(), ApiError> {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if kind == "application/json" || kind.ends_with("+json") {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the content type must be application/json",
    ))
}

async fn read(request: &HttpRequest, mut payload: web::Payload) -> Result<Vec<u8>, ApiError> {
    let packing = packing(request)?;
    // What says by itself that it is too large is not read.
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > BODY_MAX) {
        return Err(too_large());
    }
    let mut body = declared.map_or_else(Pieces::default, Pieces::of_size);
    while let Some(chunk) = payload.next().await {
        body.add(&chunk.map_err(|error| unreadable(&error))?)?;
    }
    turns::whole(request);
    let body = body.join();
    match packing {
        None => Ok(body),
        Some(_) if body.is_empty() => Ok(body),
        Some(packing) => web::block(move || unpack(packing, &body))
            .await
            .map_err(|error| ApiError::unavailable(error.to_string()))?,
    }
}

/// How the body is packed.
fn packing(request: &HttpRequest) -> Result<Option<Packing>, ApiError> {
    let encoding = request
        .headers()
        .get(header::CONTENT_ENCODING)
        .map_or("identity", |it| it.to_str().unwrap_or("?"));
    let name = encoding.trim().to_ascii_lowercase();
    if name == "identity" {
        return Ok(None);
    }
    let packing = Packing::named(&name).ok_or_else(|| {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content encoding must be gzip, zstd or none",
        )
    });
    packing.map(Some)
}

/// Unpacks a body. A small one may become a thousand times as large: it is measured before there is memory for it.
fn unpack(packing: Packing, packed: &[u8]) -> Result<Vec<u8>, ApiError> {
    let reader = || packing.reader(packed).map_err(|error| unreadable(&error));
    let size = io::copy(&mut reader()?.take(BODY_MAX as u64 + 1), &mut io::sink());
    let size = usize::try_from(size.map_err(|error| unreadable(&error))?).ok();
    let size = size.filter(|size| *size <= BODY_MAX).ok_or_else(too_large)?;
    let mut body = Vec::with_capacity(size);
    let unpacked = reader()?.read_to_end(&mut body);
    unpacked.map_err(|error| unreadable(&error))?;
    Ok(body)
}

/// The largest piece in which a body is kept as it comes.
const PIECE: usize = 64 << 10;

/// A body as it comes. A buffer that grows leaves all its smaller selves behind, and what the listener hands over holds on to buffers that
/// are larger: pieces of a known size are put together once, when their length is known.
#[derive(Debug, Default)]
struct Pieces {
    pieces: Vec<Vec<u8>>,
    size: usize,
}

impl Pieces {
    /// For a body of this size: there is room for all of it, of which only what comes is ever touched.
    fn of_size(size: usize) -> Self {
        Self {
            pieces: vec![Vec::with_capacity(size)],
            size: 0,
        }
    }

    fn add(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        self.size += chunk.len();
        if self.size > BODY_MAX {
            return Err(too_large());
        }
        let room = self.pieces.last().map_or(0, |last| last.capacity() - last.len());
        let (here, beyond) = chunk.split_at(room.min(chunk.len()));
        if let Some(last) = self.pieces.last_mut() {
            last.extend_from_slice(here);
        }
        if !beyond.is_empty() {
            let mut piece = Vec::with_capacity(beyond.len().max(self.size.min(PIECE)));
            piece.extend_from_slice(beyond);
            self.pieces.push(piece);
        }
        Ok(())
    }

    fn join(mut self) -> Vec<u8> {
        if self.pieces.len() == 1 {
            return self.pieces.pop().unwrap_or_default();
        }
        let mut body = Vec::with_capacity(self.size);
        for piece in self.pieces {
            body.extend_from_slice(&piece);
        }
        body
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {BODY_MAX} bytes"),
    )
}

fn unreadable(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("the body can't be read: {error}"))
}

/// serde's words, as those of the API: `entries[3].bytesUp must be an integer`.
fn wording(path: &str, error: &serde_json::Error) -> String {
    let full = error.to_string();
    if !error.is_data() {
        return format!("the body is not valid JSON: {full}");
    }
    let words = full.rsplit_once(" at line ").map_or(full.as_str(), |(words, _)| words);
    let within = if path == "." { String::new() } else { format!("{path}.") };
    // The path may already end with a field that is there, never with one that is missing.
    let there = |field: &str| {
        if within == format!("{field}.") || within.ends_with(&format!(".{field}.")) {
            path.to_owned()
        } else {
            format!("{within}{field}")
        }
    };
    let here = if path == "." { "the body" } else { path };
    if let Some(field) = quoted(words, "missing field") {
        format!("{within}{field} is required")
    } else if let Some(field) = quoted(words, "duplicate field") {
        format!("{} is given twice", there(field))
    } else if let Some(field) = quoted(words, "unknown field") {
        format!("{} is not a field", there(field))
    } else if let Some((_, expected)) = words.rsplit_once(", expected ") {
        format!("{here} must be {}", kind(expected))
    } else {
        format!("{here} {words}")
    }
}

fn quoted<'a>(words: &'a str, what: &str) -> Option<&'a str> {
    words.strip_prefix(what)?.split('`').nth(1)
}

fn kind(expected: &str) -> &str {
    match expected {
        "a sequence" => "an array",
        "f64" => "a number",
        "i64" | "i32" | "u16" => "an integer",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        #[allow(dead_code)]
        entries: Vec<Object<Entry>>,
        #[allow(dead_code)]
        note: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        #[allow(dead_code)]
        bytes_up: Int,
    }

    #[test]
    fn the_first_bad_field_is_named() {
        for (body, message) in [
            (
                r#"{"entries":[{"bytesUp":1},{"bytesUp":"1"}]}"#,
                "entries[1].bytesUp must be an integer",
            ),
            (
                r#"{"entries":[{"bytesUp":1.5}]}"#,
                "entries[0].bytesUp must be an integer",
            ),
            (
                r#"{"entries":[{"bytesUp":9223372036854775808}]}"#,
                "entries[0].bytesUp must be an integer of at most 2^63-1",
            ),
            (
                r#"{"entries":[{"bytesUp":null}]}"#,
                "entries[0].bytesUp must be an integer",
            ),
            (r#"{"entries":[{}]}"#, "entries[0].bytesUp is required"),
            (r#"{"entries":[5]}"#, "entries[0] must be an object"),
            (r#"{"entries":[[5]]}"#, "entries[0] must be an object"),
            (r#"{"entries":{}}"#, "entries must be an array"),
            (r#"{"entries":[],"entries":[]}"#, "entries is given twice"),
            (r#"{"entries":[],"note":5}"#, "note must be a string"),
            ("{}", "entries is required"),
            ("[]", "the body must be an object"),
            ("5", "the body must be an object"),
        ] {
            assert_eq!(
                decode::<Report>(body.as_bytes()).unwrap_err().to_string(),
                message,
                "{body}"
            );
        }
        for body in [
            &b""[..],
            b"{",
            br#"{"entries":[]}x"#,
            br#"{"entries":}"#,
            b"{\"entries\":[],\"x\":\"\xff\"}",
        ] {
            let message = decode::<Report>(body).unwrap_err().to_string();
            assert!(message.starts_with("the body is not valid JSON: "), "{message}");
        }
    }

    #[test]
    fn pieces_are_put_together_in_order() {
        let chunks: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; usize::from(n) * 13]).collect();
        let mut body = Pieces::default();
        for chunk in &chunks {
            body.add(chunk).unwrap();
        }
        assert_eq!(body.join(), chunks.concat());
        let mut full = Pieces::default();
        full.add(&vec![0; BODY_MAX]).unwrap();
        assert_eq!(full.add(&[0]).unwrap_err().to_string(), too_large().to_string());
    }

    #[test]
    fn absent_and_unknown_fields_are_fine() {
        decode::<Report>(br#"{"entries":[{"bytesUp":1,"more":[]}],"note":null,"x":1}"#).unwrap();
    }
}
