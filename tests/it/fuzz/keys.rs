//! What stands where a key or a token should: no text but the key itself lets anybody in.

use http::{HeaderMap, HeaderValue, Method, header::AUTHORIZATION};
use prost::Message as _;
use vpn_core::{
    model::secrets::{SecretHash, is_well_formed_node_key},
    proto::nodeservice::HeartbeatRequest,
};

use super::{
    calls::{Http, KEY, request},
    engine::{self, Plan, Target, Verdict},
    mutate::Kind,
    world::{self, Doors, World},
};
use crate::harness::{core::ADMIN_TOKEN, keys::forged};

/// Stand in inputs for what is good, which is another one every time.
const GOOD_KEY: &str = "the-key";
const GOOD_TOKEN: &str = "the-token";

fn stranger(node: i64) -> String {
    forged(node, &"A".repeat(43))
}

fn plan(name: &'static str, seeds: &[&str]) -> Plan {
    Plan {
        name,
        kind: Kind::Text,
        seeds: seeds.iter().map(|it| it.as_bytes().to_vec()).collect(),
    }
}

/// Every other input that looks like a key gets the checksum that belongs to it, so that it is looked up.
fn sealed(input: &[u8]) -> Vec<u8> {
    let Some(at) = input
        .iter()
        .rposition(|it| *it == b'_')
        .filter(|_| input.len().is_multiple_of(2))
    else {
        return input.to_vec();
    };
    let sum = format!("_{:08x}", crc32fast::hash(&input[..at]));
    [&input[..at], sum.as_bytes()].concat()
}

fn with(input: &[u8], word: &str, secret: &str) -> Vec<u8> {
    let at = input.windows(word.len()).position(|it| it == word.as_bytes());
    at.map_or_else(
        || sealed(input),
        |at| [&input[..at], secret.as_bytes(), &input[at + word.len()..]].concat(),
    )
}

struct Form;

impl Target for Form {
    async fn renew(&mut self) {}

    async fn attempt(&self, input: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(input);
        // Whatever it is, it has a hash.
        SecretHash::of(&text);
        let sealed = sealed(input);
        let sealed = String::from_utf8_lossy(&sealed);
        let good = is_well_formed_node_key(&sealed);
        if good && !(sealed.starts_with("core_node_") && sealed.len() > 62) {
            return Err(format!("{sealed:?} is no key"));
        }
        Ok(good || is_well_formed_node_key(&text))
    }
}

#[test]
fn key_form() {
    let (one, other) = (stranger(1), stranger(i64::MAX));
    engine::run(plan("key_form", &[&one, &other, "core_node_1_"]), Form);
}

struct Keys(Doors);

impl Target for Keys {
    const AT_ONCE: usize = 16;
    const WORLD: usize = 100_000;

    async fn renew(&mut self) {
        self.0.renew().await;
    }

    async fn attempt(&self, input: &[u8]) -> Verdict {
        let shown = with(input, GOOD_KEY, &self.0.key);
        // HTTP takes spaces around a header away.
        let good = shown.trim_ascii() == self.0.key.as_bytes();
        if let Ok(value) = HeaderValue::from_bytes(&shown) {
            let request = request(Method::POST, "/node/heartbeat").header(KEY, value.clone());
            let (status, body) = self.0.http.answer(request, b"").await?;
            if !allowed(status, good, 200) {
                return Err(format!("status {status}: {body:?}"));
            }
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(KEY), value)]);
            self.over_grpc(&headers, b"", shown == self.0.key.as_bytes()).await?;
        }
        let text = String::from_utf8_lossy(&shown).into_owned();
        let exact = text == self.0.key;
        let field = HeartbeatRequest {
            auth_key: text,
            ..HeartbeatRequest::default()
        };
        self.over_grpc(&HeaderMap::new(), &field.encode_to_vec(), exact).await?;
        Ok(exact)
    }

    async fn end(&mut self) {
        self.0.end().await;
    }
}

/// Whether a status is right for what was shown; headers may also be too large.
fn allowed(status: u16, good: bool, taken: u16) -> bool {
    status == 431 || status == 400 || (if good { status == taken } else { status == 401 })
}

impl Keys {
    async fn over_grpc(&self, headers: &HeaderMap, message: &[u8], good: bool) -> Result<(), String> {
        // h2 refuses larger ones before anybody looks at them.
        if headers.iter().any(|(_, value)| value.len() > 8_000) {
            return Ok(());
        }
        let (status, words) = self.0.grpc.call("Heartbeat", headers, message).await?;
        if status == if good { 0 } else { 16 } {
            return Ok(());
        }
        Err(format!("gRPC status {status}: {words}"))
    }
}

#[test]
fn key_at_the_doors() {
    let (one, other) = (stranger(1), stranger(77));
    engine::run(
        plan("key_at_the_doors", &[GOOD_KEY, &one, &other, "core_node_1_"]),
        Keys(Doors::new()),
    );
}

struct Tokens {
    world: Option<World>,
    http: Http,
}

impl Target for Tokens {
    const AT_ONCE: usize = 16;
    const WORLD: usize = 100_000;

    async fn renew(&mut self) {
        let world = world::another(&mut self.world).await;
        self.http = Http::new(world.ports.admin, KEY, "");
    }

    async fn attempt(&self, input: &[u8]) -> Verdict {
        let shown = with(input, GOOD_TOKEN, ADMIN_TOKEN);
        let Ok(value) = HeaderValue::from_bytes(&shown) else {
            return Ok(false);
        };
        let request = request(Method::GET, "/admin/registration-codes/1").header(AUTHORIZATION, value);
        let (status, body) = self.http.answer(request, b"").await?;
        let text = String::from_utf8_lossy(&shown);
        let scheme = text.trim_ascii().split_once(' ');
        let good =
            scheme.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && token.trim() == ADMIN_TOKEN);
        // The code that let the node in is used up.
        if allowed(status, good, 404) || (good && status == 200) {
            return Ok(good);
        }
        Err(format!("status {status}: {body:?}"))
    }

    async fn end(&mut self) {
        world::end(&mut self.world).await;
    }
}

#[test]
fn token_at_the_door() {
    let good = format!("Bearer {GOOD_TOKEN}");
    let seeds = [
        good.as_str(),
        "bearer  the-token ",
        "Basic dTpw",
        "Bearer core_admin_AAAA_00000000",
    ];
    let tokens = Tokens {
        world: None,
        http: Http::new(0, KEY, ""),
    };
    engine::run(plan("token_at_the_door", &seeds), tokens);
}
