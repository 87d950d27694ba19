//! How many threads there are.

use std::fs;

/// Room that there is at least: a small machine may start many threads at once.
const LEAST: u32 = 8192;
const MOST: u32 = 1 << 20;

/// The entries of a map that is to have one for each thread, of those that run and those to come.
#[must_use]
pub fn room() -> u32 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    room_for(threads(&load).unwrap_or(0))
}

const fn room_for(threads: u32) -> u32 {
    let room = threads.saturating_mul(4);
    if room < LEAST {
        LEAST
    } else if room > MOST {
        MOST
    } else {
        room
    }
}

/// From `0.20 0.18 0.12 1/80 11206`: runnable threads and all, in the whole system.
fn threads(load: &str) -> Option<u32> {
    let (_, all) = load.split_whitespace().nth(3)?.split_once('/')?;
    all.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_more_threads_than_there_are() {
        assert_eq!(threads("0.20 0.18 0.12 1/80 11206"), Some(80));
        assert_eq!(threads(""), None);
        assert_eq!([80, 20_000, u32::MAX].map(room_for), [LEAST, 80_000, MOST]);
    }
}
