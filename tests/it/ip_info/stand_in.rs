//! A provider that says what the test wants, and remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What it was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The first line and the headers, as they came.
    pub head: String,
    /// The addresses.
    pub ips: Vec<String>,
}

/// What it says.
pub enum Reply {
    /// A status, headers (`x-rl: 0`), a body.
    Say(u16, Vec<String>, String),
    /// Nothing, and the line stays open.
    Nothing,
    /// A body of a gibibyte: told in the header, or in pieces without an end in sight.
    Huge {
        /// Told.
        told: bool,
    },
}

impl Reply {
    /// As ip-api answers, with these headers.
    pub fn ip_api(asked: &Asked, headers: &[&str]) -> Self {
        let item = |ip: &String| {
            json!({
                "status": "success", "query": ip, "country": "Netherlands", "countryCode": "NL", "region": "NH", "regionName": "North Holland",
                "city": "Amsterdam", "isp": "The Isp", "org": "The Org", "as": "AS64500 The Net", "proxy": true, "hosting": false,
            })
        };
        let items: Vec<Value> = asked.ips.iter().map(item).collect();
        let headers = headers.iter().map(|it| (*it).to_owned()).collect();
        Self::Say(200, headers, Value::from(items).to_string())
    }

    /// As IPinfo answers.
    pub fn ipinfo(asked: &Asked) -> Self {
        let item = |ip: &String| {
            (
                ip.clone(),
                json!({"ip": ip, "country": "NL", "city": "Amsterdam", "org": "AS64500 The Net"}),
            )
        };
        let items: serde_json::Map<_, _> = asked.ips.iter().map(item).collect();
        Self::Say(200, Vec::new(), Value::from(items).to_string())
    }

    /// A status and no more.
    pub fn status(status: u16, headers: &[&str]) -> Self {
        let headers = headers.iter().map(|it| (*it).to_owned()).collect();
        Self::Say(status, headers, String::new())
    }
}

/// See the module.
pub struct StandIn {
    /// Where it is.
    pub url: String,
    state: Arc<State>,
}

struct State {
    asked: Mutex<Vec<Asked>>,
    written: Mutex<u64>,
    reply: Box<Script>,
}

/// What it says to a call, by its number.
type Script = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StandIn {
    /// One that answers so; the number is that of the call, from 0 on.
    pub async fn new(reply: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            asked: Mutex::default(),
            written: Mutex::default(),
            reply: Box::new(reply),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { url, state }
    }

    /// All that it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        held(&self.state.asked).clone()
    }

    /// How often it was asked.
    pub fn calls(&self) -> usize {
        held(&self.state.asked).len()
    }

    /// All addresses that it was asked for, in order.
    pub fn ips(&self) -> Vec<String> {
        self.asked().into_iter().flat_map(|it| it.ips).collect()
    }

    /// Bytes of huge bodies that somebody took.
    pub fn written(&self) -> u64 {
        *held(&self.state.written)
    }
}

/// One call a connection.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let Some(asked) = read(&mut stream).await else { return };
    let number = {
        let mut all = held(&state.asked);
        all.push(asked.clone());
        all.len() - 1
    };
    let reply = (state.reply)(&asked, number);
    match reply {
        Reply::Say(status, headers, body) => {
            let length = format!("content-length: {}", body.len());
            let mut lines = vec![format!("HTTP/1.1 {status} So"), length, "connection: close".to_owned()];
            lines.extend(headers);
            let text = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
            // Who asked may be gone.
            stream.write_all(text.as_bytes()).await.ok();
        }
        Reply::Nothing => std::future::pending().await,
        Reply::Huge { told } => huge(stream, told, &state).await,
    }
}

async fn huge(mut stream: TcpStream, told: bool, state: &State) {
    let length = if told {
        "content-length: 1073741824"
    } else {
        "transfer-encoding: chunked"
    };
    let head = format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n");
    let mut piece = "[".repeat(1 << 16).into_bytes();
    if !told {
        piece = [b"10000\r\n".as_slice(), &piece, b"\r\n"].concat();
    }
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    for _ in 0..(1 << 14) {
        if stream.write_all(&piece).await.is_err() {
            return;
        }
        *held(&state.written) += piece.len() as u64;
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())?;
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let ips = serde_json::from_slice(&bytes[head_end + 4..]).ok()?;
    Some(Asked { head, ips })
}
