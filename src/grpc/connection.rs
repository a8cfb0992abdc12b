//! One gRPC connection: the handshake, its calls, and how it ends.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::TlsAcceptor;
use tonic::{Status, service::Routes};
use tower::Service as _;

use crate::{
    clock::Stopwatch,
    connection::{Limits, Stream, Turn},
    proto::nodeservice::node_service_server::NodeServiceServer,
};

use super::{
    meters::{Meters, Method},
    node_service::Service,
    reading::{Reading, packing, unpacked},
};

/// What every connection of a shard is served with.
#[derive(Clone)]
pub struct Door {
    nodes: NodesDoor,
    others: Arc<Others>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

/// Makes the nodes' service for who calls from an address.
pub type NodesDoor = Arc<dyn Fn(IpAddr) -> NodeServiceServer<Service> + Send + Sync>;

/// What all connections share.
struct Others {
    routes: Routes,
    meters: Meters,
}

/// Who answers on a connection. Nodes' calls do not go through a router: it would cost as much as deciding them.
struct Calls {
    nodes: NodeServiceServer<Service>,
    others: Arc<Others>,
}

impl Door {
    /// To the nodes' service and others, behind TLS if there is any.
    pub fn new(nodes: NodesDoor, others: Routes, tls: Option<TlsAcceptor>, limits: Limits) -> Self {
        let others = Others {
            routes: others.prepare(),
            meters: Meters::default(),
        };
        Self {
            nodes,
            others: Arc::new(others),
            tls,
            limits,
        }
    }

    /// Serves a connection to its end.
    pub async fn serve(self, tcp: TcpStream, mut stopped: watch::Receiver<bool>) {
        let Ok(peer) = tcp.peer_addr().map(|peer| peer.ip()) else {
            return tracing::debug!("a connection was gone before it was served");
        };
        let opened = tokio::select! {
            opened = Stream::open(tcp, self.tls.as_ref(), &self.limits) => opened,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                metrics::counter!("core_tls_handshake_failures_total", "listener" => "grpc").increment(1);
                tracing::debug!(%error, "a handshake failed");
                return;
            }
        };
        let (limits, turns) = (self.limits, stream.turns());
        let service = {
            let calls = Arc::new(Calls {
                nodes: (self.nodes)(peer),
                others: self.others,
            });
            let turns = Arc::clone(&turns);
            service_fn(move |request| answer(Arc::clone(&calls), turns.begin(), request))
        };
        let mut connection = pin!(protocol(&limits).serve_connection(TokioIo::new(stream), service));
        // Together they came, together they must not go.
        let age = limits.age.mul_f64(1.0 + rand::random::<f64>() / 10.0);
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = turns.over(&limits) => {
                metrics::counter!("core_connections_ended_total", "listener" => "grpc").increment(1);
                if !turns.any() {
                    return;
                }
            }
            () = tokio::time::sleep(age) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        if !matches!(tokio::time::timeout(limits.grace, connection).await, Ok(Ok(()))) {
            tracing::debug!("a connection was cut: its peer did not go when it was asked to");
        }
    }
}

/// Runs calls in the queue of the actors, which they ask and are answered by: a thread that goes to and fro between that and its other queue looks at
/// its sockets each time.
#[derive(Clone)]
struct BesideActors;

impl<F: Future<Output: 'static> + 'static> Executor<F> for BesideActors {
    fn execute(&self, call: F) {
        tokio::task::spawn_local(call);
    }
}

fn protocol(limits: &Limits) -> http2::Builder<BesideActors> {
    let mut builder = http2::Builder::new(BesideActors);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(limits.resets)
        .keep_alive_interval(limits.ping_every)
        .keep_alive_timeout(limits.ping_wait);
    builder
}

/// An answer that is being made. It is moved from hand to hand on its way through the server: a pointer is lighter.
type Answer = Pin<Box<dyn Future<Output = Result<Response<tonic::body::Body>, Infallible>> + Send>>;

impl Calls {
    /// All services are always ready.
    fn answer(&self, method: Method, request: Request<Reading>) -> Answer {
        if !method.is_known() {
            return Box::pin(self.others.routes.clone().call(request));
        }
        let mut nodes = self.nodes.clone();
        match packing(request.headers()) {
            None => nodes.call(request),
            Some(packing) => Box::pin(async move {
                match unpacked(request, packing).await {
                    Ok(request) => nodes.call(request).await,
                    Err(status) => Ok(status.into_http()),
                }
            }),
        }
    }
}

/// Has a call answered, in the time that its caller gave it.
fn answer(
    calls: Arc<Calls>,
    turn: Arc<Turn>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Answering>, Infallible>> {
    if request.body().is_end_stream() {
        turn.whole();
    }
    let (watch, method) = (Stopwatch::start(), Method::at(request.uri().path()));
    let patience = patience(request.headers());
    let reading = Arc::clone(&turn);
    let mut answer = calls.answer(method, request.map(|inner| Reading::new(inner, reading)));
    if let Some(patience) = patience {
        answer = Box::pin(within(patience, answer));
    }
    async move {
        let answer = answer.await?;
        calls.others.meters.of(method).note(watch, answer.headers());
        turn.answered();
        Ok(answer.map(|inner| Answering { inner, _turn: turn }))
    }
}

async fn within(patience: Duration, answer: Answer) -> Result<Response<tonic::body::Body>, Infallible> {
    let answered = tokio::time::timeout(patience, answer).await;
    answered.unwrap_or_else(|_| Ok(Status::deadline_exceeded("the call's own time is over").into_http()))
}

/// Looked for in every call.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// `grpc-timeout`: at most eight digits and a unit. What is none is no limit.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get(&TIMEOUT)?.to_str().ok()?;
    let (count, unit) = said.split_at_checked(said.len().checked_sub(1)?)?;
    if count.len() > 8 || !count.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let count: u64 = count.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_hours(count),
        "M" => Duration::from_mins(count),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// An answer's body: its turn is over when the last of it is taken.
struct Answering {
    inner: tonic::body::Body,
    _turn: Arc<Turn>,
}

impl Body for Answering {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_says_how_long_it_waits() {
        let said = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            patience(&headers)
        };
        assert_eq!(said("5S"), Some(Duration::from_secs(5)));
        assert_eq!(said("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for none in ["", "S", "5", "5x", "-5S", "+5S", "123456789S", "5 S"] {
            assert_eq!(said(none), None, "{none}");
        }
        assert_eq!(patience(&HeaderMap::new()), None);
    }
}
