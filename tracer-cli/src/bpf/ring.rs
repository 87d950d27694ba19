//! Reading the ring buffer.
//!
//! Layout: <https://docs.kernel.org/bpf/ringbuf.html>. One page with the consumer's position,
//! one with the producer's, then the data, mapped twice in a row so that no record is broken.

use std::{
    io,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use super::map::Map;
use crate::system::mapping::Mapping;

/// `BPF_RINGBUF_BUSY_BIT`: reserved, not yet submitted.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: given up by the program.
const DISCARD: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`
const HEADER: u64 = 8;
/// Bytes that were read and not yet given back, at most.
const MOST_KEPT: u64 = 64 << 10;

/// The user's end of a ring buffer map.
pub struct RingBuffer {
    consumer: Mapping,
    producer: Mapping,
    /// Where the data begins: behind the producer's page.
    data: usize,
    size: u64,
}

impl RingBuffer {
    /// Maps the ring buffer.
    ///
    /// # Errors
    /// If mapping it fails.
    pub fn new(map: &Map) -> io::Result<Self> {
        let page = page_size();
        let size = u64::from(map.max_entries());
        let fd = map.fd();
        let consumer = Mapping::shared(fd, page, 0, libc::PROT_READ | libc::PROT_WRITE)?;
        let producer = Mapping::shared(fd, page + 2 * size as usize, page, libc::PROT_READ)?;
        Ok(Self { consumer, producer, data: page, size })
    }

    /// Hands at most `limit` records to `each`, which may stop early by returning false.
    /// Returns the number handed out.
    ///
    /// Both positions are words that the writers use for each record: one that is read or written here
    /// costs the next writer a cache miss. So the writers' is read only when the reader has reached it, and
    /// space is given back in large pieces.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8]) -> bool) -> usize {
        let piece = (self.size / 16).min(MOST_KEPT);
        let mut given_back = word(&self.consumer).load(Ordering::Acquire);
        let (mut position, mut end) = (given_back, given_back);
        let mut taken = 0;
        let mut go_on = true;
        while go_on && taken < limit {
            if position >= end {
                end = word(&self.producer).load(Ordering::Acquire);
            }
            let Some((record, next)) = (position < end).then(|| self.record(position)).flatten() else {
                break;
            };
            if let Some(record) = record {
                taken += 1;
                go_on = each(record);
            }
            position = next;
            if position - given_back >= piece {
                word(&self.consumer).store(position, Ordering::Release);
                given_back = position;
            }
        }
        word(&self.consumer).store(position, Ordering::Release);
        taken
    }

    /// No record is waiting, not even one that is being written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        word(&self.consumer).load(Ordering::Acquire) >= word(&self.producer).load(Ordering::Acquire)
    }

    /// The record at a position (`None` inside if it was discarded) and the position after it;
    /// `None` if its writer has not finished.
    fn record(&self, position: u64) -> Option<(Option<&[u8]>, u64)> {
        let offset = self.data + (position & (self.size - 1)) as usize;
        // SAFETY: offset lies in the first of the two mappings of the data; the kernel keeps
        // records 8-byte aligned and writes the header's length word atomically.
        let header = unsafe { &*self.producer.at(offset).cast::<AtomicU32>() }.load(Ordering::Acquire);
        if header & BUSY != 0 {
            return None;
        }
        let length = header & !DISCARD;
        let next = position + (HEADER + u64::from(length)).next_multiple_of(8);
        if header & DISCARD != 0 {
            return Some((None, next));
        }
        // SAFETY: a submitted record of `length` bytes follows its header, whole thanks to the
        // second mapping, and is not written until the consumer's position has passed it.
        let record = unsafe {
            std::slice::from_raw_parts(self.producer.at(offset + HEADER as usize), length as usize)
        };
        Some((Some(record), next))
    }
}

/// The position that a consumer's or producer's page begins with.
fn word(page: &Mapping) -> &AtomicU64 {
    // SAFETY: page-aligned, mapped as long as the reference lives, and shared with the kernel,
    // which treats it as an atomic word too.
    unsafe { page.start().cast::<AtomicU64>().as_ref() }
}

fn page_size() -> usize {
    // SAFETY: no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// The size that the kernel takes for a ring buffer of at least `bytes`: a power of two, in pages.
#[must_use]
pub fn ring_size(bytes: u64) -> Option<u32> {
    u32::try_from(bytes.max(page_size() as u64).checked_next_power_of_two()?).ok()
}
