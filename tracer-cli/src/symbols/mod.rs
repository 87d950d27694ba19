//! Names for the addresses of stacks.
//!
//! An address is located as soon as its stack is told of, while the process is there: which file it is in, and
//! where in it. The file is kept open, so that it can be read when the process has gone, or the file
//! itself, and whatever the process saw as its root. Names are looked up at the end.

mod files;
mod go;
mod perf_map;
mod process;
mod truncated;

use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use blazesym::{
    MaybeDefault,
    symbolize::{
        Input, Symbolized, Symbolizer,
        source::{Elf, Kernel, Source},
    },
};

use files::{FileId, Files};
use go::GoTable;
use process::Process;

/// Where an address of a stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    Kernel(u64),
    File {
        file: FileId,
        offset: u64,
    },
    /// In memory that no file is mapped to, as code that was compiled at run time is.
    Memory {
        pid: u32,
        address: u64,
    },
    /// In a process that had gone.
    Unknown,
}

/// A function's name, and those of functions that the compiler put into it, the outermost first.
pub type Names = Rc<[Rc<str>]>;

/// What is known of addresses.
pub struct Symbols {
    symbolizer: Symbolizer,
    processes: HashMap<u32, Process>,
    files: Files,
    names: HashMap<Place, Names>,
}

impl Default for Symbols {
    fn default() -> Self {
        truncated::survive();
        let symbolizer = Symbolizer::builder().enable_auto_reload(false).build();
        Self { symbolizer, processes: HashMap::new(), files: Files::default(), names: HashMap::new() }
    }
}

impl Symbols {
    /// Reads the names of the kernel's functions, which takes longer than many a process lives that is to be looked at.
    pub fn know_kernel(&mut self) {
        self.look_up(std::iter::once(Place::Kernel(u64::MAX)));
    }

    /// Looks at a process before it is traced, however soon it ends then.
    pub fn know(&mut self, pid: u32) {
        let process = self.processes.entry(pid).or_default();
        process.refresh(pid, &[]);
        for address in process.code() {
            process.place(pid, address, &mut self.files);
        }
    }

    /// Where the frames of a stack are, the innermost first. Those that called others, as the innermost does in a
    /// stack at a function's return, are where they did so, not where they will go on, which may be another function.
    pub fn locate(&mut self, pid: u32, frames: &[u64], at_return: bool) -> Box<[Place]> {
        let back =
            |(index, address): (usize, &u64)| address.saturating_sub(u64::from(index > 0 || at_return));
        let addresses = frames.iter().enumerate().map(back);
        if pid == 0 {
            return addresses.map(Place::Kernel).collect();
        }
        let process = self.processes.entry(pid).or_default();
        process.refresh(pid, frames);
        // Where functions keep no frame pointer, what is found in its place leads nowhere.
        let places = addresses.map(|address| process.place(pid, address, &mut self.files));
        places.map_while(|place| place).collect()
    }

    /// The same for the stack of a process that executes another program, and may have done so by now. What it ran
    /// before is what it is known to have run; else what its parent does, which it was forked from; else what it runs
    /// still.
    pub fn locate_before_exec(&mut self, pid: u32, parent: u32, frames: &[u64]) -> Box<[Place]> {
        let own = self.processes.entry(pid).or_default();
        let of = if own.has(frames) {
            pid
        } else {
            let process = self.processes.entry(parent).or_default();
            process.refresh(parent, frames);
            if process.has(frames) { parent } else { return self.locate(pid, frames, false) }
        };
        let process = self.processes.entry(of).or_default();
        let back =
            frames.iter().enumerate().map(|(index, address)| address.saturating_sub(u64::from(index > 0)));
        back.map_while(|address| process.place(of, address, &mut self.files)).collect()
    }

    /// Forgets much of what it knows, if that has become much. What was located before is not to be looked up any more.
    pub fn make_room(&mut self) {
        // Both keep files open.
        const PROCESSES: usize = 256;
        const FILES: usize = 512;
        const NAMES: usize = 1 << 18;
        if self.files.len() > FILES || self.names.len() > NAMES {
            *self = Self::default();
        } else if self.processes.len() > PROCESSES {
            self.processes.clear();
        }
    }

    /// Looks up the names of places.
    pub fn look_up(&mut self, places: impl Iterator<Item = Place>) {
        if self.files.take_opened_late() {
            self.names.clear();
        }
        let new: BTreeSet<Place> = places.filter(|place| !self.names.contains_key(place)).collect();
        let new: Vec<Place> = new.into_iter().collect();
        // In order, those of a file stand together.
        for group in new.chunk_by(|a, b| group_of(*a) == group_of(*b)) {
            let names = match group[0] {
                Place::Kernel(_) => self.kernel_names(group),
                Place::File { file, .. } => self.file_names(file, group),
                Place::Memory { pid, .. } => self.memory_names(pid, group),
                Place::Unknown => vec![one("[unknown]"); group.len()],
            };
            self.names.extend(group.iter().copied().zip(names));
        }
    }

    /// The names of a place that were looked up.
    #[must_use]
    pub fn names(&self, place: Place) -> &[Rc<str>] {
        self.names.get(&place).map_or(&[], |names| names)
    }

    /// The file that a stack which ends here lacks the outer functions of: one whose functions keep no frame
    /// pointer. None if here is where threads start.
    #[must_use]
    pub fn is_cut_in(&self, outermost: Place) -> Option<&Rc<str>> {
        let Place::File { file, .. } = outermost else { return None };
        let is_start = self.names(outermost).first().is_some_and(|name| is_start(name));
        (!is_start).then(|| self.files.name(file))
    }

    fn kernel_names(&self, places: &[Place]) -> Vec<Names> {
        let kernel = Kernel { vmlinux: MaybeDefault::None, debug_syms: false, ..Kernel::default() };
        let addresses: Vec<u64> = places.iter().map(|place| place.number()).collect();
        let found = self.symbolizer.symbolize(&Source::Kernel(kernel), Input::AbsAddr(&addresses));
        let found = found.unwrap_or_default();
        let unnamed = || one("[kernel]");
        let name = |index| found.get(index).filter(|found| is_near(found)).and_then(names_of);
        (0..places.len()).map(|index| name(index).unwrap_or_else(unnamed)).collect()
    }

    fn file_names(&self, file: FileId, places: &[Place]) -> Vec<Names> {
        let offsets: Vec<u64> = places.iter().map(|place| place.number()).collect();
        let found = self.files.path(file).and_then(|path| {
            let elf = Source::Elf(Elf::new(path));
            self.symbolizer.symbolize(&elf, Input::FileOffset(&offsets)).ok()
        });
        let found = found.unwrap_or_default();
        let name = self.files.name(file);
        let names: Vec<_> = (0..offsets.len()).map(|index| found.get(index).and_then(names_of)).collect();
        let is_whole = names.iter().all(Option::is_some);
        let go = self.files.path(file).filter(|_| !is_whole).and_then(|path| GoTable::read(&path));
        let unnamed = |offset: u64| {
            let name_in_go = go.as_ref().and_then(|go| go.name(offset));
            one(&name_in_go.unwrap_or_else(|| format!("[{name}+{offset:#x}]")))
        };
        names
            .into_iter()
            .zip(&offsets)
            .map(|(name, offset)| name.unwrap_or_else(|| unnamed(*offset)))
            .collect()
    }

    fn memory_names(&mut self, pid: u32, places: &[Place]) -> Vec<Names> {
        let map = self.processes.get(&pid).map(|process| process.perf_map(pid)).unwrap_or_default();
        let name = |place: &Place| map.name(place.number()).map_or_else(|| one("[anon]"), one);
        places.iter().map(name).collect()
    }
}

/// Whether threads or programs start in this function.
fn is_start(name: &str) -> bool {
    const NAMES: [&str; 6] =
        ["main", "_start", "start_thread", "thread_start", "_dl_start_user", "rust_start"];
    const PARTS: [&str; 4] = ["libc_start", "clone", "runtime.", "runtime/"];
    NAMES.contains(&name) || PARTS.iter().any(|part| name.contains(part))
}

/// What is looked up together.
fn group_of(place: Place) -> (u32, u32) {
    match place {
        Place::Kernel(_) => (0, 0),
        Place::File { file, .. } => (1, file.0),
        Place::Memory { pid, .. } => (2, pid),
        Place::Unknown => (3, 0),
    }
}

impl Place {
    /// The address, or the offset.
    const fn number(self) -> u64 {
        match self {
            Self::Kernel(number)
            | Self::File { offset: number, .. }
            | Self::Memory { address: number, .. } => number,
            Self::Unknown => 0,
        }
    }
}

/// Whether an address can be in the kernel's function that is said to be there, which is the last one before it: far
/// behind the kernel are BPF programs, and those that have gone have no names.
fn is_near(found: &Symbolized<'_>) -> bool {
    const LONGEST: usize = 1 << 20;
    found.as_sym().is_some_and(|symbol| symbol.offset < LONGEST)
}

fn one(name: &str) -> Names {
    [Rc::from(name)].into()
}

fn names_of(symbolized: &Symbolized<'_>) -> Option<Names> {
    // A file that was truncated has names of no letters.
    let symbol = symbolized.as_sym().filter(|symbol| !symbol.name.is_empty())?;
    let inlined = symbol.inlined.iter().map(|function| &function.name);
    Some([&symbol.name].into_iter().chain(inlined).map(|name| Rc::from(name.as_ref())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_behind_the_kernel_nothing_has_a_name() {
        let (mut symbols, place) = (Symbols::default(), Place::Kernel(u64::MAX - 0xfff));
        symbols.look_up([place].into_iter());
        assert_eq!(symbols.names(place), [Rc::from("[kernel]")]);
    }
}
