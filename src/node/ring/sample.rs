//! One sample of a machine, in small numbers.
//!
//! What a sample keeps is what was sent, to the byte, but for the share of the processor (24 bits, some 7 digits) and for what no machine has: above
//! 256 TiB of memory or disk, or 1 TiB a second, it is held there. What is below zero or no number is zero.

use crate::model::stats::SystemStats;

/// A number of so many bytes that is not below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Narrow<const N: usize>([u8; N]);

/// Bytes of memory or disk, up to 256 TiB.
type Size = Narrow<6>;

/// Bytes a second, up to 1 TiB.
type Rate = Narrow<5>;

/// What changes from sample to sample. Without gaps: they would be an eighth of it.
#[derive(Debug, Clone, Copy)]
#[repr(Rust, packed)]
pub(super) struct Sample {
    /// Milliseconds after the ring's base.
    pub(super) at: u32,
    uptime_seconds: u32,
    cpu_percent: f32,
    ram_used: Size,
    disk_used: Size,
    net_rx_per_sec: Rate,
    net_tx_per_sec: Rate,
    net_rx_total: u64,
    net_tx_total: u64,
}

/// What does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    cpu_cores: u16,
    ram_total: Size,
    disk_total: Size,
}

impl Sample {
    #[allow(clippy::cast_possible_truncation, reason = "24 bits of it are kept")]
    pub(super) fn new(at: u32, system: &SystemStats) -> Self {
        let whole = |value: i64| u64::try_from(value).unwrap_or(0);
        let cpu = system.cpu_percent as f32;
        Self {
            net_rx_total: whole(system.net_rx_total),
            net_tx_total: whole(system.net_tx_total),
            at,
            uptime_seconds: u32::try_from(whole(system.uptime_seconds)).unwrap_or(u32::MAX),
            cpu_percent: if cpu.is_finite() { cpu.max(0.0) } else { 0.0 },
            ram_used: Size::new(system.ram_used),
            disk_used: Size::new(system.disk_used),
            net_rx_per_sec: Rate::new(system.net_rx_per_sec),
            net_tx_per_sec: Rate::new(system.net_tx_per_sec),
        }
    }

    pub(super) fn system(self, machine: Machine) -> SystemStats {
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        // As it is written, not as it is in 24 bits: 33.3 was sent, not 33.299999237.
        let cpu = self.cpu_percent;
        let cpu_percent = cpu.to_string().parse();
        SystemStats {
            uptime_seconds: self.uptime_seconds.into(),
            cpu_percent: cpu_percent.unwrap_or_else(|_| cpu.into()),
            cpu_cores: machine.cpu_cores.into(),
            ram_used: self.ram_used.get(),
            ram_total: machine.ram_total.get(),
            disk_used: self.disk_used.get(),
            disk_total: machine.disk_total.get(),
            net_rx_per_sec: self.net_rx_per_sec.get(),
            net_tx_per_sec: self.net_tx_per_sec.get(),
            net_rx_total: whole(self.net_rx_total),
            net_tx_total: whole(self.net_tx_total),
        }
    }
}

impl Machine {
    pub(super) fn new(system: &SystemStats) -> Self {
        Self {
            cpu_cores: u16::try_from(system.cpu_cores.max(0)).unwrap_or(u16::MAX),
            ram_total: Size::new(system.ram_total),
            disk_total: Size::new(system.disk_total),
        }
    }
}

impl<const N: usize> Narrow<N> {
    const MOST: u64 = (1 << (8 * N)) - 1;

    fn new(value: i64) -> Self {
        let bytes = u64::try_from(value).unwrap_or(0).min(Self::MOST).to_le_bytes();
        let mut narrow = [0; N];
        narrow.copy_from_slice(&bytes[..N]);
        Self(narrow)
    }

    fn get(self) -> i64 {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.0);
        i64::from_le_bytes(wide)
    }
}
