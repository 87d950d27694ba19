//! Reading and writing maps from the user side.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use aya_obj::generated::bpf_map_type;

use super::sys;

/// A created map.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    per_cpu: bool,
    array: bool,
    key_size: usize,
    value_size: usize,
    max_entries: u32,
}

impl Map {
    pub(super) fn new(fd: OwnedFd, map_type: u32, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        use bpf_map_type::{
            BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY,
            BPF_MAP_TYPE_PERCPU_HASH,
        };
        let is_one_of = |kinds: &[bpf_map_type]| kinds.iter().any(|&kind| kind as u32 == map_type);
        let per_cpu =
            is_one_of(&[BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH]);
        let array = is_one_of(&[BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY]);
        Self { fd, per_cpu, array, key_size: key_size as usize, value_size: value_size as usize, max_entries }
    }

    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    #[must_use]
    pub const fn max_entries(&self) -> u32 {
        self.max_entries
    }

    #[must_use]
    pub const fn key_size(&self) -> usize {
        self.key_size
    }

    /// Whether keys come and go; an array has all of them always.
    #[must_use]
    pub const fn is_hash(&self) -> bool {
        !self.array
    }

    /// Sets a key's value.
    ///
    /// # Errors
    /// `E2BIG` if the map is full.
    pub fn insert(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        sys::map_update(self.fd(), key, value)
    }

    /// Adds a key, with nothing but zeroes as its value.
    ///
    /// # Errors
    /// `E2BIG` if the map is full.
    pub fn add(&self, key: &[u8]) -> io::Result<()> {
        self.insert(key, &vec![0; self.value_size])
    }

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn remove(&self, key: &[u8]) -> io::Result<bool> {
        sys::map_delete(self.fd(), key)
    }

    /// A key's value: for a per-CPU map those of all possible CPUs, one after the other.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let size = if self.per_cpu {
            self.value_size.next_multiple_of(8) * possible_cpus()
        } else {
            self.value_size
        };
        let mut value = vec![0; size];
        Ok(sys::map_lookup(self.fd(), key, &mut value)?.then_some(value))
    }

    /// A key's counters, summed over the CPUs of a per-CPU map.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn counters(&self, key: &[u8]) -> io::Result<Option<Vec<u64>>> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let width = self.value_size.div_ceil(8);
        let mut sums = vec![0u64; width];
        for (index, word) in value.chunks_exact(8).enumerate() {
            let word = word.first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
            sums[index % width] = sums[index % width].wrapping_add(word);
        }
        Ok(Some(sums))
    }

    /// Shows every entry of a hash map that is not per-CPU, many at a time.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn for_each(&self, mut show: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
        // A bucket comes as a whole, and hash maps have more buckets than entries.
        const COUNT: usize = 4096;
        let (mut keys, mut values) = (vec![0; COUNT * self.key_size], vec![0; COUNT * self.value_size]);
        let mut from = None;
        loop {
            let (count, next) =
                sys::map_lookup_batch(self.fd(), from.as_ref(), COUNT as u32, &mut keys, &mut values)?;
            let entries = keys.chunks_exact(self.key_size).zip(values.chunks_exact(self.value_size));
            entries.take(count as usize).for_each(|(key, value)| show(key, value));
            if next.is_none() {
                return Ok(());
            }
            from = next;
        }
    }

    /// All keys at this moment. Keys that come or go meanwhile may be missed, none comes twice.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut next = vec![0; self.key_size];
        let mut last: Option<Vec<u8>> = None;
        // A key removed under our feet restarts the walk: never longer than the map is large.
        for _ in 0..=u64::from(self.max_entries) * 2 {
            if !sys::map_next_key(self.fd(), last.as_deref(), &mut next)? {
                break;
            }
            if seen.insert(next.clone()) {
                keys.push(next.clone());
            }
            last = Some(next.clone());
        }
        Ok(keys)
    }
}

/// The number of CPUs that could ever be online: the width of per-CPU values.
#[must_use]
pub fn possible_cpus() -> usize {
    static CPUS: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *CPUS.get_or_init(|| {
        let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
        last_cpu(&list).map_or(1, |last| last + 1)
    })
}

/// The CPUs that are online.
#[must_use]
pub fn online_cpus() -> Vec<u32> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    cpus(&list).unwrap_or_else(|| vec![0])
}

/// The numbers in a list such as `0-3,8`.
fn cpus(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cpus.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

/// The highest number in a list such as `0-3,8`.
fn last_cpu(list: &str) -> Option<usize> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}
