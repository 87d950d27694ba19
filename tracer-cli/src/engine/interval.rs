//! The rhythm of tools that print summaries: every INTERVAL, COUNT times, and once at the end.

use std::{collections::HashMap, rc::Rc, time::Duration};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::session::{LOOK, Session, Stop};
use crate::{
    bpf::{map::Map, ring::RingBuffer},
    output::Clock,
};

/// How often to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rhythm {
    /// Only at the end, if there is none.
    pub every: Option<Duration>,
    pub limit: Option<u64>,
}

/// Calls `print` with the time at each interval and at the end, until it or the session stops.
///
/// # Errors
/// Those of `print` and of the session.
pub async fn run(
    mut session: Session,
    rhythm: Rhythm,
    mut print: impl FnMut(u64) -> anyhow::Result<Option<Stop>>,
) -> anyhow::Result<u8> {
    // Without an interval the ticks only look after losses.
    let mut ticks = ticks(rhythm.every.unwrap_or(LOOK * 40));
    let mut left = rhythm.limit;
    loop {
        tokio::select! {
            biased;
            ended = session.stopped() => {
                let stop = ended?;
                session.detach();
                print(Clock::monotonic_ns())?;
                return session.finish(stop);
            }
            _ = ticks.tick() => {}
        }
        session.check_lost()?;
        if rhythm.every.is_none() {
            continue;
        }
        left = left.map(|left| left - 1);
        if let Some(stop) = print(Clock::monotonic_ns())? {
            return session.finish(stop);
        }
        if left == Some(0) {
            return session.finish(Stop::Done);
        }
    }
}

/// Ticks that begin after the first interval. What was late is not made up for.
#[must_use]
pub fn ticks(every: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// What a key's counters grew by.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    pub key: Vec<u8>,
    pub counters: Vec<u64>,
    /// What the kernel side told of the key; nothing if it doesn't do that.
    pub note: Rc<[u8]>,
}

/// Reads a map of counters again and again, and tells what changed.
///
/// Counters are never reset: a reset could lose what is counted between reading and clearing.
#[derive(Default)]
pub struct Deltas {
    last: HashMap<Vec<u8>, Vec<u64>>,
}

impl Deltas {
    /// The keys that changed since the last call, each with the differences.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn read(&mut self, map: &Map) -> std::io::Result<Vec<Delta>> {
        let mut deltas = Vec::new();
        let keys = map.keys()?;
        let crowded = map.is_hash() && keys.len() > map.max_entries() as usize / 2;
        for key in keys {
            let Some(counters) = map.counters(&key)? else { continue };
            let last = self.last.get(&key);
            let growth: Vec<u64> = match last {
                Some(last) => counters.iter().zip(last).map(|(now, last)| now.wrapping_sub(*last)).collect(),
                None => counters.clone(),
            };
            if growth.iter().any(|&growth| growth != 0) {
                self.last.insert(key.clone(), counters);
                deltas.push(Delta { key, counters: growth, ..Delta::default() });
            } else if crowded {
                // Idle for a whole interval: make room for keys to come.
                map.remove(&key)?;
                self.last.remove(&key);
            }
        }
        Ok(deltas)
    }

    /// Whether a key was there at the last call.
    #[must_use]
    pub fn knows(&self, key: &[u8]) -> bool {
        self.last.contains_key(key)
    }
}

/// What the kernel side tells of each key when it makes it, through the ring buffer: the key, and
/// the note.
pub struct Notes {
    ring: RingBuffer,
    key_len: usize,
    notes: HashMap<Vec<u8>, Rc<[u8]>>,
}

impl Notes {
    /// # Errors
    /// If mapping the ring buffer fails.
    pub fn new(events: &Map, of: &Map) -> std::io::Result<Self> {
        Ok(Self { ring: RingBuffer::new(events)?, key_len: of.key_size(), notes: HashMap::new() })
    }

    /// Adds to the keys what was told of them, and forgets what was told of keys that are no more.
    pub fn add_to(&mut self, growth: &mut [Delta], deltas: &Deltas) {
        let Self { ring, key_len, notes } = self;
        // Before new ones come, which may be of keys that the deltas do not know yet.
        notes.retain(|key, _| deltas.knows(key));
        ring.drain(usize::MAX, |record| {
            if let Some((key, note)) = record.split_at_checked(*key_len) {
                notes.insert(key.to_vec(), note.into());
            }
            true
        });
        for delta in growth {
            if let Some(note) = notes.get(&delta.key) {
                delta.note = Rc::clone(note);
            }
        }
    }
}
