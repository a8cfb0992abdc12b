//! What the machine looks like, out of `/proc`. What can't be read is 0.

use std::{fs::read_to_string, path::Path};

use vpn_core::{clock::Clock, model::Time, proto::nodeservice::SystemStats};

/// Remembers the last look, because shares and rates are between two.
#[derive(Debug, Default)]
pub struct Machine {
    last: Option<Look>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Time,
    cpu: Cpu,
    net: Net,
}

/// Ticks since the machine started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cpu {
    busy: u64,
    all: u64,
}

/// Bytes since the machine started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Net {
    rx: i64,
    tx: i64,
}

impl Machine {
    /// Looks. The disk is the one that `folder` is on.
    pub fn stats(&mut self, folder: &Path) -> SystemStats {
        let read = |file: &str| read_to_string(file).unwrap_or_default();
        let look = Look {
            at: Clock::system().now(),
            cpu: cpu(&read("/proc/stat")),
            net: net(&read("/proc/net/dev")),
        };
        let (ram_used, ram_total) = ram(&read("/proc/meminfo"));
        let (disk_used, disk_total) = disk(folder);
        let before = self.last.replace(look).unwrap_or(look);
        SystemStats {
            uptime_seconds: first_number(&read("/proc/uptime")),
            cpu_percent: share(before.cpu, look.cpu),
            cpu_cores: std::thread::available_parallelism().map_or(1, |it| i32::try_from(it.get()).unwrap_or(i32::MAX)),
            ram_used,
            ram_total,
            disk_used,
            disk_total,
            net_rx_per_sec: rate(look.net.rx - before.net.rx, look.at.since(before.at)),
            net_tx_per_sec: rate(look.net.tx - before.net.tx, look.at.since(before.at)),
            net_rx_total: look.net.rx,
            net_tx_total: look.net.tx,
        }
    }
}

/// The first line sums all cores: user, nice, system, idle, iowait and more.
fn cpu(stat: &str) -> Cpu {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(number).collect();
    let all = ticks.iter().sum::<u64>();
    let idle = ticks.iter().skip(3).take(2).sum::<u64>();
    Cpu { busy: all - idle, all }
}

#[allow(clippy::cast_precision_loss, reason = "a share of some hundred ticks")]
fn share(before: Cpu, now: Cpu) -> f64 {
    let all = now.all.saturating_sub(before.all);
    if all == 0 {
        return 0.0;
    }
    now.busy.saturating_sub(before.busy) as f64 * 100.0 / all as f64
}

/// All interfaces but loopback.
fn net(dev: &str) -> Net {
    let rows = dev
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() != "lo");
    rows.fold(Net::default(), |sum, (_, row)| {
        let numbers: Vec<i64> = row.split_whitespace().map(number).collect();
        let at = |place: usize| numbers.get(place).copied().unwrap_or_default();
        Net {
            rx: sum.rx + at(0),
            tx: sum.tx + at(8),
        }
    })
}

fn rate(bytes: i64, span: std::time::Duration) -> i64 {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1);
    bytes.max(0).saturating_mul(1000) / millis
}

fn ram(meminfo: &str) -> (i64, i64) {
    let of = |name: &str| {
        let row = meminfo.lines().find_map(|line| line.strip_prefix(name));
        row.map_or(0, first_number::<i64>) * 1024
    };
    let total = of("MemTotal:");
    (total - of("MemAvailable:"), total)
}

fn disk(folder: &Path) -> (i64, i64) {
    let Ok(disk) = rustix::fs::statvfs(folder) else {
        return (0, 0);
    };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(disk.f_frsize)).unwrap_or(i64::MAX);
    (bytes(disk.f_blocks.saturating_sub(disk.f_bfree)), bytes(disk.f_blocks))
}

fn first_number<T: std::str::FromStr + Default>(text: &str) -> T {
    let digits = text.trim_start().split(|it: char| !it.is_ascii_digit()).next();
    number(digits.unwrap_or_default())
}

fn number<T: std::str::FromStr + Default>(text: &str) -> T {
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let before = cpu("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 2 3\n");
        let now = cpu("cpu  40 0 10 140 10 0 0 0 0 0\n");
        assert_eq!(before, Cpu { busy: 20, all: 100 });
        assert!((share(before, now) - 30.0).abs() < 1e-9);
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0: 1000 5 0 0 0 0 0 0 2000 6 0 0 0 0 0 0\n";
        assert_eq!(net(dev), Net { rx: 1000, tx: 2000 });
        assert_eq!(
            ram("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n"),
            (600 * 1024, 1000 * 1024)
        );
        assert_eq!(first_number::<i64>("12345.67 9.0"), 12345);
        assert_eq!(cpu(""), Cpu::default());
    }
}
