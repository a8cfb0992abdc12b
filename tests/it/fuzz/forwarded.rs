//! `X-Forwarded-For`: alone, and at the doors of a Core that believes its proxies.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use vpn_core::auth::address::Proxies;

use super::{
    calls::{KEY, judged, request},
    engine::{self, Plan, Target, Verdict},
    mutate::Kind,
    world::Doors,
};

const HEADER: &str = "x-forwarded-for";

/// Of a larger head Core reads no more than this: it answers 431 and closes. What its peer still sends then makes the kernel reset the connection,
/// which may overtake the answer.
const HEAD_READ: usize = 128 << 10;

fn plan(name: &'static str) -> Plan {
    let seeds = [
        "198.51.100.1",
        "203.0.113.9, 198.51.100.1, 10.0.0.7",
        "[2001:db8:7::5]:443, ::ffff:10.0.0.1",
        "198.51.100.1:4711,10.0.0.1 , 127.0.0.1",
        "unknown, 10.0.0.2",
        "10.0.0.3\n198.51.100.1, 10.0.0.4",
    ];
    Plan {
        name,
        kind: Kind::Text,
        seeds: seeds.iter().map(|it| it.as_bytes().to_vec()).collect(),
    }
}

/// The lines that a header can hold.
fn lines(input: &[u8]) -> Vec<HeaderValue> {
    let lines = input.split(|it| *it == b'\n');
    lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect()
}

struct Alone(Proxies);

impl Target for Alone {
    async fn renew(&mut self) {}

    async fn attempt(&self, input: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(input);
        let lines = || text.split('\n');
        let stranger = IpAddr::from([192, 0, 2, 1]);
        if self.0.caller(stranger, lines()) != stranger {
            return Err("a stranger was believed".to_owned());
        }
        let proxy = IpAddr::from([10, 0, 0, 1]);
        let caller = self.0.caller(proxy, lines());
        if caller.to_canonical() != caller {
            return Err(format!("{caller} is written in another way"));
        }
        Ok(caller != proxy)
    }
}

#[test]
fn forwarded_for() {
    let trusted = ["10.0.0.0/8", "127.0.0.0/8", "2001:db8:1::/48"];
    let trusted = trusted.map(|it| it.parse().unwrap()).into();
    engine::run(plan("forwarded_for"), Alone(Proxies::new(trusted)));
}

fn is_reset(error: &str) -> bool {
    ["ConnectionReset", "BrokenPipe"].iter().any(|it| error.contains(it))
}

struct AtTheDoors(Doors);

impl Target for AtTheDoors {
    const AT_ONCE: usize = 16;
    const WORLD: usize = 100_000;

    async fn renew(&mut self) {
        self.0.renew().await;
    }

    async fn attempt(&self, input: &[u8]) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(KEY, self.0.key.parse().unwrap());
        for line in lines(input) {
            headers.append(HEADER, line);
        }
        let mut request = request(Method::POST, "/node/heartbeat");
        request.headers_mut().unwrap().extend(headers.clone());
        let sent = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        let is_cut = sent.sum::<usize>() > HEAD_READ;
        let answer = self.0.http.answer(request, b"").await;
        if answer.as_ref().is_err_and(|error| is_cut && is_reset(error)) {
            return Ok(false);
        }
        let (status, body) = answer?;
        // Too much of it is refused, by both.
        if status != 200 && status != 431 {
            return Err(format!("status {status}: {body:?}"));
        }
        // As HTTP/2 counts them (RFC 9113, 6.5.2): far beyond its limit it ends the connection, with everybody's calls.
        let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 32;
        if headers.iter().map(size).sum::<usize>() > 8_000 {
            return Ok(status == 200);
        }
        judged(&self.0.grpc.call("Heartbeat", &headers, b"").await?)
    }

    async fn end(&mut self) {
        self.0.end().await;
    }
}

#[test]
fn forwarded_for_at_the_doors() {
    engine::run(plan("forwarded_for_at_the_doors"), AtTheDoors(Doors::new()));
}
