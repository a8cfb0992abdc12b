//! What a process holds in memory, by Linux.

/// A line of `/proc/PID/status`, in bytes: `VmRSS` is now, `VmHWM` the most there ever was.
pub fn memory(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(':'));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("Linux says how much") << 10
}

/// From now on the most that this process ever held is counted anew.
pub fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("it is ours");
}
