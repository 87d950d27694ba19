//! Stacks that the kernel side has told of.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use tracer_common::stack::{LOST_STACK, Stack};
use zerocopy::FromBytes;

use super::{Taken, Weighted};
use crate::{
    bpf::{map::Map, ring::RingBuffer},
    symbols::{Place, Symbols},
};

/// Stacks by their ids, located when they were told of.
pub struct Seen {
    ring: RingBuffer,
    stacks: HashMap<u64, Box<[Place]>>,
    symbols: Symbols,
    taken: Taken,
}

impl Seen {
    /// # Errors
    /// If mapping the ring buffer fails.
    pub fn new(ring: &Map, symbols: Symbols, taken: Taken) -> std::io::Result<Self> {
        Ok(Self { ring: RingBuffer::new(ring)?, stacks: HashMap::new(), symbols, taken })
    }

    /// Takes what was told.
    pub fn drain(&mut self) {
        let Self { ring, stacks, symbols, taken } = self;
        let at_return = *taken == Taken::AtReturns;
        ring.drain(usize::MAX, |record| {
            if let Some((stack, frames)) = told(record) {
                // Told again, the process may have gone meanwhile.
                stacks.entry(stack.id).or_insert_with(|| symbols.locate(stack.pid, &frames, at_return));
            }
            true
        });
    }

    /// Looks up the names of these stacks' functions.
    pub fn look_up(&mut self, weighted: &[Weighted]) {
        let ids = weighted.iter().flat_map(|stack| &stack.parts).flat_map(|part| [part.user, part.kernel]);
        let places = ids.filter_map(|id| self.stacks.get(&id)).flatten().copied();
        self.symbols.look_up(places);
    }

    /// The binaries in which stacks are cut, with how many are, the most first.
    pub fn cut(&self, weighted: &[Weighted]) -> Vec<(Rc<str>, u64)> {
        let mut counts: BTreeMap<&Rc<str>, u64> = BTreeMap::new();
        for stack in weighted {
            let outermost = stack.parts.iter().filter_map(|part| self.stacks.get(&part.user)?.last());
            for file in outermost.filter_map(|place| self.symbols.is_cut_in(*place)) {
                *counts.entry(file).or_default() += stack.count;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().map(|(file, count)| (Rc::clone(file), count)).collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// The names of a stack's functions, the outermost first.
    pub fn names(&self, id: u64) -> Vec<Rc<str>> {
        if id == LOST_STACK {
            return vec!["[lost]".into()];
        }
        self.stacks.get(&id).map_or_else(Vec::new, |places| names_of(&self.symbols, places, self.taken))
    }
}

/// A stack that is told of, with its frames, the innermost first.
pub fn told(record: &[u8]) -> Option<(&Stack, Vec<u64>)> {
    let (stack, frames) = Stack::ref_from_prefix(record).ok()?;
    let words = frames.chunks_exact(8).filter_map(|word| word.first_chunk::<8>());
    Some((stack, words.map(|word| u64::from_ne_bytes(*word)).collect()))
}

/// The names of functions at these places, the innermost first, that were looked up: the outermost first.
pub fn names_of(symbols: &Symbols, places: &[Place], taken: Taken) -> Vec<Rc<str>> {
    let names = places.iter().rev().flat_map(|place| symbols.names(*place));
    let mut names: Vec<Rc<str>> = names.cloned().collect();
    let last = names.len().saturating_sub(OWN_FRAMES);
    if let Some(own) = names[last..].iter().position(|name| taken == Taken::OnTracepoints && is_own(name)) {
        names.truncate(last + own);
    }
    // Of code without names, one frame says as much as many.
    names.dedup_by(|a, b| a == b && a.starts_with("[anon"));
    names
}

/// As many frames there are at most between a tracepoint and the program that takes the stack.
const OWN_FRAMES: usize = 6;

/// Whether this is a function of the kernel that calls programs on tracepoints, or such a program.
fn is_own(name: &str) -> bool {
    const STARTS: [&str; 5] =
        ["bpf_trampoline_", "bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_get_stack"];
    STARTS.iter().any(|start| name.starts_with(start)) || is_program(name)
}

/// Programs bear the tag of their code, `bpf_prog_TAG_NAME`; the kernel's own `bpf_prog_load` is none.
fn is_program(name: &str) -> bool {
    const TAG: usize = 16;
    let tag = name.strip_prefix("bpf_prog_").and_then(|rest| rest.get(..TAG));
    tag.is_some_and(|tag| tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_what_calls_them_are_known_by_name() {
        for name in ["bpf_prog_4d352b461768e7be_kmalloc", "bpf_trace_run3", "__traceiter_kmalloc"] {
            assert!(is_own(name), "{name}");
        }
        for name in ["bpf_prog_load", "bpf_prog_alloc_no_stats", "bpf_prog_", "__kmalloc", "[kernel]"] {
            assert!(!is_own(name), "{name}");
        }
    }
}
