//! Calls as bytes: over gRPC what stands in a frame, over HTTP what stands in a body or a header.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Mutex};

use super::engine::Verdict;

/// The header with a node's key.
pub const KEY: &str = "x-node-auth-key";

/// A connection for gRPC, made anew when Core has ended it.
pub struct Grpc {
    port: u16,
    line: Mutex<Option<SendRequest<Bytes>>>,
}

impl Grpc {
    /// To this port.
    pub fn new(port: u16) -> Self {
        Self {
            port,
            line: Mutex::default(),
        }
    }

    /// Calls; gives the status and its words.
    pub async fn call(&self, method: &str, headers: &HeaderMap, message: &[u8]) -> Result<(u32, String), String> {
        match self.once(method, headers, message).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.line.lock().await.take();
                let again = self.once(method, headers, message).await;
                again.map_err(|error| format!("no answer: {error}"))
            }
        }
    }

    async fn once(&self, method: &str, headers: &HeaderMap, message: &[u8]) -> Result<(u32, String), h2::Error> {
        let mut request = Request::post(format!("http://core/nodeservice.NodeService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        request
            .headers_mut()
            .extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let (response, mut body) = self.line().await?.ready().await?.send_request(request, false)?;
        body.send_data(frame(message), true)?;
        let (parts, mut body) = response.await?.into_parts();
        if parts.headers.contains_key("grpc-status") {
            return Ok(status(&parts.headers));
        }
        while let Some(piece) = body.data().await {
            body.flow_control().release_capacity(piece?.len())?;
        }
        Ok(status(&body.trailers().await?.unwrap_or_default()))
    }

    async fn line(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        let mut line = self.line.lock().await;
        if let Some(line) = &*line {
            return Ok(line.clone());
        }
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (calls, connection) = h2::client::handshake(tcp).await?;
        // Its end is seen by the next call.
        tokio::spawn(async move { connection.await.ok() });
        Ok(line.insert(calls).clone())
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

fn status(headers: &HeaderMap) -> (u32, String) {
    let text = |name: &str| headers.get(name).map_or("", |it| it.to_str().unwrap_or("?"));
    let status = text("grpc-status").parse().unwrap_or(u32::MAX);
    (status, text("grpc-message").to_owned())
}

/// Whether a status says that the call was taken, that the caller is at fault, or that Core is.
pub fn judged((status, words): &(u32, String)) -> Verdict {
    match status {
        0 => Ok(true),
        // INVALID_ARGUMENT, OUT_OF_RANGE, UNAUTHENTICATED; RESOURCE_EXHAUSTED is for what is too large, since limits are off.
        3 | 8 | 11 | 16 => Ok(false),
        _ => Err(format!("status {status}: {words}")),
    }
}

/// A caller of HTTP routes: its connections carry one call at a time, and are made anew when Core has ended them.
pub struct Http {
    port: u16,
    /// Those that carry none.
    free: Mutex<Vec<http1::SendRequest<Full<Bytes>>>>,
    /// What every call shows.
    shown: (HeaderName, HeaderValue),
}

impl Http {
    /// At this port; every call shows this.
    pub fn new(port: u16, name: &'static str, value: &str) -> Self {
        Self {
            port,
            free: Mutex::default(),
            shown: (HeaderName::from_static(name), value.parse().unwrap()),
        }
    }

    /// Sends JSON; gives the status and the body.
    pub async fn send(&self, method: Method, path: &str, body: &[u8]) -> Result<(u16, Bytes), String> {
        let (name, value) = &self.shown;
        let request = request(method, path)
            .header(name, value)
            .header("content-type", "application/json");
        self.answer(request, body).await
    }

    /// Sends it; gives the status and the body.
    pub async fn answer(&self, request: request::Builder, body: &[u8]) -> Result<(u16, Bytes), String> {
        let request = request.body(Full::from(body.to_vec())).unwrap();
        let free = self.free.lock().await.pop();
        if let Some(line) = free
            && let Ok(answer) = self.over(line, request.clone()).await
        {
            return Ok(answer);
        }
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (line, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        // Its end is seen by the next call.
        tokio::spawn(async move { connection.await.ok() });
        let answer = self.over(line, request).await;
        answer.map_err(|error| format!("no answer: {error:?}"))
    }

    async fn over(
        &self,
        mut line: http1::SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, Bytes), hyper::Error> {
        line.ready().await?;
        let response = line.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        self.free.lock().await.push(line);
        Ok((status, body))
    }
}

/// A request that shows nothing.
pub fn request(method: Method, path: &str) -> request::Builder {
    Request::builder().method(method).uri(path).header("host", "core")
}

/// Whether an answer says that the call was taken, that the caller is at fault, or that Core is.
pub fn http_judged(status: u16, body: &[u8]) -> Verdict {
    match status {
        200..300 => Ok(true),
        400 | 401 | 404 | 409 | 412 | 413 => Ok(false),
        _ => Err(format!("status {status}: {}", String::from_utf8_lossy(body))),
    }
}
