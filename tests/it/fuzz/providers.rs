//! What a provider of IP information answers: any headers, any body. It is an answer or an error.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use vpn_core::{
    model::Time,
    providers::{Provider, ip_api::IpApi, ipinfo::IpInfo},
};

use super::{
    engine::{self, Plan, Target, Verdict},
    mutate::Kind,
};

/// What it is asked for.
const ASKED: [[u8; 4]; 2] = [[8, 8, 8, 8], [8, 8, 4, 4]];

/// What is answered next.
type Next = Arc<Mutex<Vec<u8>>>;

type Make = fn(&str) -> Box<dyn Provider>;

struct Asking {
    make: Make,
    provider: Option<Box<dyn Provider>>,
    next: Next,
}

impl Target for Asking {
    async fn renew(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.provider = Some((self.make)(&format!("http://{}", listener.local_addr().unwrap())));
        let next = Arc::clone(&self.next);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&next)));
            }
        });
    }

    async fn attempt(&self, input: &[u8]) -> Verdict {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = response(input);
        let asked = ASKED.map(IpAddr::from);
        let provider = self.provider.as_ref().unwrap();
        match provider.look_up(&asked, Time::from_millis(1_763_985_600_000)).await {
            Err(_) => Ok(false),
            Ok(answer) if answer.infos.iter().map(|(ip, _)| *ip).eq(asked) => Ok(true),
            Ok(answer) => Err(format!("it speaks of others: {answer:?}")),
        }
    }
}

/// The first line and headers as they are; the body ends where the connection does.
fn response(input: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 ", input].concat()
}

/// One answer a connection: whoever waits for more than there is sees its end.
async fn serve(mut stream: TcpStream, next: Next) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    // A question ends with its list.
    while !bytes.ends_with(b"]") {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    let answer = next.lock().unwrap_or_else(PoisonError::into_inner).clone();
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

fn run(name: &'static str, make: Make, seeds: Vec<String>) {
    let target = Asking {
        make,
        provider: None,
        next: Next::default(),
    };
    let plan = Plan {
        name,
        kind: Kind::Answer,
        seeds: seeds.into_iter().map(String::into_bytes).collect(),
    };
    engine::run(plan, target);
}

#[test]
fn provider_ip_api() {
    let good = json!({
        "status": "success", "country": "United States", "countryCode": "US", "region": "VA", "regionName": "Virginia", "city": "Ashburn",
        "isp": "Google LLC", "org": "Google Public DNS", "as": "AS15169 Google LLC", "proxy": false, "hosting": true, "query": "8.8.8.8",
    });
    let bad = json!({"status": "fail", "message": "reserved range", "query": "8.8.4.4"});
    let seeds = vec![
        format!("200 OK\nx-rl: 14\nx-ttl: 60\n\n{}", json!([good, bad])),
        format!("200 OK\ncontent-type: application/json\n\n{}", json!([good])),
        "429 Too Many Requests\nx-rl: 0\nx-ttl: 17\n\n".to_owned(),
        "422 Unprocessable Entity\n\n[]".to_owned(),
    ];
    run(
        "provider_ip_api",
        |url| Box::new(IpApi::new(&url.parse().unwrap()).unwrap()),
        seeds,
    );
}

#[test]
fn provider_ipinfo() {
    let plain = json!({"ip": "8.8.8.8", "city": "Mountain View", "region": "California", "country": "US", "org": "AS15169 Google LLC"});
    let full = json!({
        "geo": {"city": "Ashburn", "region": "Virginia", "country_code": "US"}, "as": {"asn": "AS15169", "name": "Google LLC"},
        "is_hosting": true, "is_anonymous": false, "anonymous": {"is_vpn": true}, "privacy": {"tor": false, "hosting": true},
        "company": {"name": "Google"}, "carrier": {"name": "x"}, "asn": {"asn": "AS15169", "name": "Google"},
    });
    let seeds = vec![
        format!("200 OK\n\n{}", json!({"8.8.8.8": plain, "8.8.4.4": full})),
        format!(
            "200 OK\n\n{}",
            json!({"batch/8.8.8.8": {"ip": "8.8.8.8", "bogon": true}})
        ),
        "403 Forbidden\nretry-after: 5\n\n{}".to_owned(),
    ];
    let make = |url: &str| -> Box<dyn Provider> {
        Box::new(IpInfo::new(&url.parse().unwrap(), "a-token".to_owned().into()).unwrap())
    };
    run("provider_ipinfo", make, seeds);
}
