//! How often somebody may call: addresses that register or show keys that are none, and nodes by the kind of call. By GCRA, as `governor` has it: so many
//! at once, then one for every span of time.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter, middleware::NoOpMiddleware, nanos::Nanos,
    state::keyed::DashMapStateStore,
};

use crate::{clock::Clock, model::NodeId};

/// What nodes do, each at its own rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the call of its name")]
pub enum Call {
    Heartbeat,
    Stats,
    Online,
    Usage,
    OutboundUsage,
    SessionEvents,
    Config,
    Applied,
    Error,
}

impl Call {
    const ALL: [Self; 9] = [
        Self::Heartbeat,
        Self::Stats,
        Self::Online,
        Self::Usage,
        Self::OutboundUsage,
        Self::SessionEvents,
        Self::Config,
        Self::Applied,
        Self::Error,
    ];

    /// Its place in time, and how many may come at once at a factor of 2. Reports of usage wait on the node while Core is not reached: a day of them may
    /// come at once. What is only true when it is fresh is not sent late.
    const fn cadence(self) -> (Duration, f64) {
        match self {
            Self::Heartbeat | Self::Config | Self::Applied | Self::Error => (Duration::from_secs(1), 60.0),
            Self::Stats => (Duration::from_secs(2), 30.0),
            Self::Online => (Duration::from_secs(5), 30.0),
            Self::Usage | Self::OutboundUsage => (Duration::from_mins(1), 1_500.0),
            Self::SessionEvents => (Duration::from_secs(1), 1_500.0),
        }
    }
}

/// How often somebody may call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Registrations a minute and address.
    pub register_per_min: NonZeroU32,
    /// Keys and tokens that are none, a minute and address.
    pub auth_failures_per_min: NonZeroU32,
    /// So many times as often as the document says a node may call.
    pub node_factor: f64,
}

/// Come back after so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany(pub Duration);

/// See the module.
pub struct Limits {
    register: Table<Net>,
    failures: Table<Net>,
    nodes: [Table<NodeId>; Call::ALL.len()],
    /// Refusals are told in the log, but not each.
    words: DefaultDirectRateLimiter,
}

/// Registrations that may come at once.
const REGISTER_BURST: u32 = 5;

/// Addresses of each kind that are told apart; all that come beyond share one measure.
const ADDRESSES_MAX: usize = 65_536;

/// After so many checks a table lets go of those who have been quiet.
const TIDY_EVERY: u64 = 8_192;

/// A refusal is told at most so often.
const WORD_EVERY: Duration = Duration::from_secs(10);

impl Limits {
    /// At these rates, by this clock.
    pub fn new(rates: Rates, clock: &Clock) -> Self {
        let per_minute = |count: NonZeroU32, burst: NonZeroU32| {
            let quota = Quota::with_period(Duration::from_mins(1) / count.get()).unwrap_or(Quota::per_second(count));
            quota.allow_burst(burst)
        };
        let Rates {
            register_per_min,
            auth_failures_per_min,
            node_factor,
        } = rates;
        let register_burst = register_per_min.get().div_ceil(12).max(REGISTER_BURST);
        let register_burst = NonZeroU32::new(register_burst).unwrap_or(register_per_min);
        Self {
            register: Table::new(per_minute(register_per_min, register_burst), clock),
            failures: Table::new(per_minute(auth_failures_per_min, auth_failures_per_min), clock),
            nodes: Call::ALL.map(|call| Table::new(node_quota(call, node_factor), clock)),
            words: RateLimiter::direct(Quota::with_period(WORD_EVERY).unwrap_or(Quota::per_second(NonZeroU32::MIN))),
        }
    }

    /// An address registers.
    pub fn register(&self, from: IpAddr) -> Result<(), TooMany> {
        let checked = self.register.check_address(from);
        checked.inspect_err(|_| self.tell("register", &from))
    }

    /// An address has shown what lets nobody in.
    pub fn auth_failure(&self, from: IpAddr) -> Result<(), TooMany> {
        let checked = self.failures.check_address(from);
        checked.inspect_err(|_| self.tell("auth", &from))
    }

    /// A node calls.
    pub fn node(&self, node: NodeId, call: Call) -> Result<(), TooMany> {
        let checked = self.nodes[call as usize].check(&node);
        checked.inspect_err(|_| self.tell("node", &format_args!("node {node}, {call:?}")))
    }

    fn tell(&self, what: &'static str, who: &dyn std::fmt::Display) {
        metrics::counter!("core_limited_total", "what" => what).increment(1);
        if self.words.check().is_ok() {
            tracing::warn!(what, %who, "somebody calls too often and is sent away");
        }
    }
}

fn node_quota(call: Call, factor: f64) -> Quota {
    let (cadence, burst) = call.cadence();
    let period = cadence.div_f64(factor).max(Duration::from_nanos(1));
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and the factor is above zero"
    )]
    let burst = (burst * factor / 2.0).ceil() as u32;
    Quota::with_period(period)
        .unwrap_or(Quota::per_second(NonZeroU32::MAX))
        .allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
}

/// Who is told apart by address: one host, or one IPv6 network, which a single customer has whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Net {
    One(IpAddr),
    /// All for whom there is no more room.
    Rest,
}

impl Net {
    fn of(address: IpAddr) -> Self {
        Self::One(match address.to_canonical() {
            IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
            four @ IpAddr::V4(_) => four,
        })
    }
}

/// The measures of many, bounded by letting go of those who have been quiet for so long that nothing is held against them.
struct Table<Key: Hash + Eq + Clone> {
    limiter: RateLimiter<Key, DashMapStateStore<Key>, Ticks, NoOpMiddleware<Nanos>>,
    clock: Ticks,
    checks: AtomicU64,
}

impl<Key: Hash + Eq + Clone> Table<Key> {
    fn new(quota: Quota, clock: &Clock) -> Self {
        let clock = Ticks(clock.clone());
        Self {
            limiter: RateLimiter::dashmap_with_clock(quota, clock.clone()),
            clock,
            checks: AtomicU64::new(0),
        }
    }

    fn check(&self, key: &Key) -> Result<(), TooMany> {
        if self.checks.fetch_add(1, Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let checked = self.limiter.check_key(key);
        checked.map_err(|until| TooMany(until.wait_time_from(governor::clock::Clock::now(&self.clock))))
    }
}

impl Table<Net> {
    fn check_address(&self, address: IpAddr) -> Result<(), TooMany> {
        if self.limiter.len() >= ADDRESSES_MAX {
            self.limiter.retain_recent();
            if self.limiter.len() >= ADDRESSES_MAX {
                return self.check(&Net::Rest);
            }
        }
        self.check(&Net::of(address))
    }
}

/// Core's clock, as `governor` reads it: it never goes back.
#[derive(Debug, Clone)]
struct Ticks(Clock);

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.running().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    fn limits() -> (Limits, Clock) {
        let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
        let count = |n| NonZeroU32::new(n).unwrap();
        let rates = Rates {
            register_per_min: count(60),
            auth_failures_per_min: count(5),
            node_factor: 2.0,
        };
        (Limits::new(rates, &clock), clock)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of so many calls are let in.
    fn admitted(count: usize, check: impl Fn() -> Result<(), TooMany>) -> usize {
        (0..count).filter(|_| check().is_ok()).count()
    }

    #[test]
    fn an_address_registers_five_times_at_once_then_once_a_second() {
        let (limits, clock) = limits();
        let from = address("192.0.2.1");
        assert_eq!(admitted(100, || limits.register(from)), 5);
        assert_eq!(limits.register(from), Err(TooMany(Duration::from_secs(1))));
        assert!(limits.register(address("192.0.2.2")).is_ok());
        clock.advance(Duration::from_secs(3));
        assert_eq!(admitted(100, || limits.register(from)), 3);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_a_mapped_address_as_its_own() {
        let (limits, _) = limits();
        let own = |last: u16| address(&format!("2001:db8:0:1::{last:x}"));
        assert_eq!(
            (0..50).filter(|last| limits.auth_failure(own(*last)).is_ok()).count(),
            5
        );
        assert!(limits.auth_failure(address("2001:db8:0:2::1")).is_ok());
        assert_eq!(admitted(50, || limits.auth_failure(address("::ffff:192.0.2.7"))), 5);
        assert!(limits.auth_failure(address("192.0.2.7")).is_err());
    }

    #[test]
    fn every_kind_of_call_has_its_own_rate() {
        let (limits, clock) = limits();
        for (call, burst, in_ten_seconds) in [
            (Call::Heartbeat, 60, 20),
            (Call::Stats, 30, 10),
            (Call::Online, 30, 4),
            (Call::Usage, 1_500, 0),
        ] {
            let (limits, call) = (&limits, call);
            let let_in = |count| admitted(count, || limits.node(NodeId(1), call));
            assert_eq!(let_in(5_000), burst, "{call:?}");
            clock.advance(Duration::from_secs(10));
            assert_eq!(let_in(5_000), in_ten_seconds, "{call:?}");
            assert!(limits.node(NodeId(2), call).is_ok());
        }
        let TooMany(wait) = limits.node(NodeId(1), Call::Usage).unwrap_err();
        assert!(wait <= Duration::from_secs(30), "{wait:?}");
    }

    #[test]
    fn strangers_without_number_take_no_room_without_bound() {
        let (limits, clock) = limits();
        for n in 0..ADDRESSES_MAX + 10_000 {
            let from = IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
            let refused = limits.auth_failure(from).is_err();
            assert_eq!(refused, n >= ADDRESSES_MAX + 5, "{n}");
        }
        assert!(limits.failures.limiter.len() <= ADDRESSES_MAX + 1);
        clock.advance(Duration::from_mins(2));
        assert!(limits.auth_failure(address("192.0.2.9")).is_ok());
        assert!(limits.failures.limiter.len() <= 1);
    }
}
