//! How often the faults come, and the table of what became of it (docs/RELIABILITY.md).

use std::io::Write as _;

use super::books::Difference;
use crate::faults::{crowd::Ledger, ledger::Report};

/// Whether the full figures are asked for.
pub fn is_long() -> bool {
    std::env::var_os("CORE_TEST_LONG").is_some()
}

/// How often, or how long: what this variable says, else the full figure if that is asked for, else the short one.
pub fn figure(variable: &str, short: u32, full: u32) -> u32 {
    match std::env::var(variable) {
        Ok(count) => count.parse().unwrap(),
        Err(_) if is_long() => full,
        Err(_) => short,
    }
}

/// Writes a line of the table and judges it: nothing may be lost, nothing counted twice, no good key refused.
pub fn judge(fault: &str, cycles: u64, ledger: &Ledger, difference: &Difference, note: &str) {
    let rows: usize = ledger.reports.iter().map(Report::rows).sum();
    let Difference { lost, doubled, .. } = difference;
    let line = format!("| {fault} | {cycles} | {rows} | {lost} | {doubled} | {note} |");
    eprintln!("{line}");
    if let Some(file) = std::env::var_os("CORE_TEST_TABLE") {
        let mut table = std::fs::File::options().create(true).append(true).open(file).unwrap();
        writeln!(table, "{line}").unwrap();
    }
    assert!(rows > 0, "nothing was reported");
    assert_eq!(*difference, Difference::default(), "{fault}");
    assert_eq!(ledger.strangers, 0, "a good key was refused");
}
