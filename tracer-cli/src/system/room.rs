//! How many entries maps need: more than there are threads, sockets or requests now.

use std::fs;

use crate::bpf::map::possible_cpus;

/// Room that there is at least: a small machine may start many at once.
const LEAST: u64 = 8192;
const MOST: u64 = 1 << 20;

/// For an entry a thread.
#[must_use]
pub fn for_threads() -> u32 {
    room(threads(&read("/proc/loadavg")))
}

/// For an entry a TCP socket.
#[must_use]
pub fn for_sockets() -> u32 {
    room(sockets(&read("/proc/net/sockstat")))
}

/// For an entry a block request under way: disks have queues by CPU, each with room for hundreds.
#[must_use]
pub fn for_requests() -> u32 {
    room(Some(possible_cpus() as u64 * 128))
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn room(now: Option<u64>) -> u32 {
    now.unwrap_or(0).saturating_mul(4).clamp(LEAST, MOST) as u32
}

/// From `0.20 0.18 0.12 1/80 11206`: runnable threads and all, in the whole system.
fn threads(load: &str) -> Option<u64> {
    let (_, all) = load.split_whitespace().nth(3)?.split_once('/')?;
    all.parse().ok()
}

/// From `TCP: inuse 4 orphan 0 tw 1 alloc 8 mem 1`: `alloc` are those of all network namespaces.
fn sockets(stat: &str) -> Option<u64> {
    let line = stat.lines().find(|line| line.starts_with("TCP:"))?;
    line.split_whitespace().skip_while(|word| *word != "alloc").nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_counts_are_read() {
        assert_eq!(threads("0.20 0.18 0.12 1/80 11206"), Some(80));
        assert_eq!(
            sockets("sockets: used 9\nTCP: inuse 4 orphan 0 tw 1 alloc 8 mem 1\nUDP: inuse 0 mem 0"),
            Some(8)
        );
        assert_eq!((threads(""), sockets("")), (None, None));
    }

    #[test]
    fn there_is_room_for_more_than_there_are() {
        assert_eq!([None, Some(80), Some(20_000), Some(u64::MAX)].map(room), [8192, 8192, 80_000, 1 << 20]);
    }
}
