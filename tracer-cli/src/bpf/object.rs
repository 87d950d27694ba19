//! One tool's object file: its globals, the kernel fields it uses, its maps and programs.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::Arc,
};

use aya_obj::generated::{BPF_F_NO_PREALLOC, bpf_map_type};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind, SymbolKind};
use thiserror::Error;

use super::{
    hook::{GROWS, Kernel},
    map::Map,
    sys,
};
use crate::btf::{Btf, Class};

/// The offset of a field this kernel does not have; `tracer_ebpf::ptr::MISSING`.
const MISSING: u32 = u32::MAX;

/// What can go wrong between an object file and loaded maps.
#[derive(Debug, Error)]
pub enum ObjectError {
    #[error("the built-in object file is damaged: {0}")]
    Elf(#[from] object::Error),
    #[error("the built-in object file is damaged: {0}")]
    Parse(#[from] aya_obj::ParseError),
    #[error("the built-in object file does not link: {0}")]
    Relocate(#[from] aya_obj::relocation::EbpfRelocationError),
    #[error("the object file has no global {0} of {1} bytes")]
    Global(String, usize),
    #[error("creating map {name} failed")]
    Map { name: String, source: io::Error },
}

/// A value that the loader finds in the kernel's BTF, asked for by a symbol's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// `BTF_struct__member__member`: the member's offset.
    Offset(String),
    /// `BTFS_type`: its size, 0 if there is none.
    Size(String),
    /// `BTFE_enum__enumerator`: its value, all ones if there is none.
    Enumerator(String),
    /// `BTFA_tracepoint`: the number of its arguments, 0 if there is none.
    Arity(String),
    /// `TP_category__tracepoint__field`: the offset of a field in the tracepoint's record, from
    /// its `format` file.
    Record { category: String, name: String, field: String },
}

impl Query {
    /// Reads the question off a symbol's name.
    #[must_use]
    pub fn parse(symbol: &str) -> Option<Self> {
        let (kind, rest) = symbol.split_once('_')?;
        let rest = rest.to_owned();
        match kind {
            "BTF" => Some(Self::Offset(rest)),
            "BTFS" => Some(Self::Size(rest)),
            "BTFE" => Some(Self::Enumerator(rest)),
            "BTFA" => Some(Self::Arity(rest)),
            "TP" => {
                let (category, rest) = rest.split_once("__")?;
                let (name, field) = rest.split_once("__")?;
                Some(Self::Record {
                    category: category.to_owned(),
                    name: name.to_owned(),
                    field: field.to_owned(),
                })
            }
            _ => None,
        }
    }

    /// The type names that may have to be looked up. Names may themselves hold `__`, so every
    /// place to split is a candidate, and the kernel's BTF decides.
    pub fn names(&self) -> Vec<(Class, String)> {
        match self {
            Self::Offset(path) => splits(path).map(|(name, _)| (Class::Struct, name.to_owned())).collect(),
            Self::Size(name) => vec![(Class::Struct, name.clone()), (Class::Enum, name.clone())],
            Self::Enumerator(path) => splits(path).map(|(name, _)| (Class::Enum, name.to_owned())).collect(),
            Self::Arity(name) => vec![(Class::Typedef, format!("btf_trace_{name}"))],
            Self::Record { .. } => Vec::new(),
        }
    }

    /// The BTF's answer; `size` is the size that a field must have (0: any).
    #[must_use]
    pub fn resolve(&self, btf: &Btf, size: u32) -> Option<u64> {
        match self {
            Self::Offset(path) => splits(path).find_map(|(name, rest)| {
                let member = paths(rest).find_map(|path| btf.member(name, &path))?;
                (size == 0 || size == member.size).then_some(u64::from(member.offset))
            }),
            Self::Size(name) => btf.size_of(name).map(u64::from),
            Self::Enumerator(path) => splits(path).find_map(|(name, rest)| btf.enumerator(name, rest)),
            Self::Arity(name) => btf.tracepoint_args(name).map(u64::from),
            Self::Record { .. } => None,
        }
    }

    /// What the global says where the kernel has no answer.
    fn absent(&self) -> u64 {
        match self {
            Self::Offset(_) | Self::Record { .. } => u64::from(MISSING),
            Self::Enumerator(_) => u64::MAX,
            Self::Size(_) | Self::Arity(_) => 0,
        }
    }
}

/// All ways to split at a `__` with something on both sides.
fn splits(text: &str) -> impl Iterator<Item = (&str, &str)> {
    (1..text.len().saturating_sub(2))
        .filter(|&at| text.is_char_boundary(at) && text[at..].starts_with("__"))
        .map(|at| (&text[..at], &text[at + 2..]))
        .filter(|(_, rest)| !rest.is_empty())
}

/// All ways to read a text as a path of members joined by `__`.
fn paths(text: &str) -> Box<dyn Iterator<Item = Vec<&str>> + '_> {
    let whole = std::iter::once(vec![text]);
    let split = splits(text).flat_map(|(first, rest)| {
        paths(rest).map(move |mut path| {
            path.insert(0, first);
            path
        })
    });
    Box::new(whole.chain(split))
}

/// A global of `.rodata` that asks for a kernel value.
#[derive(Clone, Debug)]
pub struct Symbol {
    pub name: String,
    pub query: Query,
    /// The field's size that the program counts on, 0 for any.
    pub size: u32,
    bytes: usize,
}

/// A parsed object file whose globals can still be set.
pub struct Object {
    obj: aya_obj::Object,
    /// `kind/target` of each program's section, by program.
    sections: HashMap<String, String>,
    symbols: Vec<Symbol>,
    /// Maps that some program uses.
    used_maps: BTreeSet<String>,
    map_entries: HashMap<String, u32>,
    /// The kernel can make a hash map's entries one by one where programs run.
    grows: bool,
}

impl Object {
    /// Parses an object file built from tracer-ebpf.
    ///
    /// # Errors
    /// If the file is not one.
    pub fn parse(data: &[u8]) -> Result<Self, ObjectError> {
        let obj = aya_obj::Object::parse(data)?;
        let elf = object::File::parse(data)?;
        let mut used = HashSet::new();
        let programs = elf.sections().filter(|section| section.kind() == SectionKind::Text);
        for (_, relocation) in programs.flat_map(|section| section.relocations()) {
            if let RelocationTarget::Symbol(index) = relocation.target() {
                used.insert(index);
            }
        }
        let mut object = Self {
            obj,
            sections: HashMap::new(),
            symbols: Vec::new(),
            used_maps: BTreeSet::new(),
            map_entries: HashMap::new(),
            grows: false,
        };
        for symbol in elf.symbols() {
            let (name, Some(section)) = (symbol.name()?, symbol.section_index()) else { continue };
            let section = elf.section_by_index(section)?;
            if object.obj.programs.contains_key(name) && symbol.kind() == SymbolKind::Text {
                object.sections.insert(name.to_owned(), section.name()?.to_owned());
            }
            if !used.contains(&symbol.index()) {
                continue;
            }
            if object.obj.maps.contains_key(name) {
                object.used_maps.insert(name.to_owned());
            } else if let Some(query) = Query::parse(name) {
                let initial = section
                    .data_range(symbol.address(), 4)?
                    .and_then(|data| data.first_chunk::<4>().copied());
                object.symbols.push(Symbol {
                    name: name.to_owned(),
                    query,
                    size: initial.map_or(0, u32::from_ne_bytes),
                    bytes: symbol.size() as usize,
                });
            }
        }
        object.used_maps.extend(object.obj.maps.keys().filter(|name| name.starts_with('.')).cloned());
        Ok(object)
    }

    /// The kernel values that the programs ask for.
    #[must_use]
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// Answers all questions; what the kernel has no answer to is absent.
    ///
    /// # Errors
    /// If the object file is damaged.
    pub fn resolve(&mut self, kernel: &Kernel) -> Result<(), ObjectError> {
        self.grows = kernel.has_function(GROWS);
        for symbol in std::mem::take(&mut self.symbols) {
            let value = kernel.resolve(&symbol.query, symbol.size);
            let value = value.unwrap_or_else(|| symbol.query.absent());
            let bytes = value.to_ne_bytes();
            self.set(&symbol.name, &bytes[..symbol.bytes.min(8)])?;
            self.symbols.push(symbol);
        }
        Ok(())
    }

    /// Sets a global, if the programs use it.
    ///
    /// # Errors
    /// If it is of another size.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), ObjectError> {
        let globals = HashMap::from([(name, (value, false))]);
        self.obj.patch_map_data(globals).map_err(|_| ObjectError::Global(name.to_owned(), value.len()))
    }

    /// Sets a map's capacity.
    pub fn set_entries(&mut self, map: &str, entries: u32) {
        self.map_entries.insert(map.to_owned(), entries);
    }

    /// Creates the maps and links the programs to them.
    ///
    /// # Errors
    /// If the kernel refuses a map.
    pub fn create_maps(mut self) -> Result<Linked, ObjectError> {
        let mut maps = HashMap::new();
        for (name, mut map) in std::mem::take(&mut self.obj.maps) {
            if !self.used_maps.contains(&name) {
                continue;
            }
            if let Some(&entries) = self.map_entries.get(&name) {
                map.set_max_entries(entries);
            }
            let fd = create_map(&name, &map, self.grows)
                .map_err(|source| ObjectError::Map { name: name.clone(), source })?;
            maps.insert(name, (map, fd));
        }
        let text: HashSet<usize> = self.obj.functions.keys().map(|(section, _)| *section).collect();
        self.obj.relocate_maps(
            maps.iter().map(|(name, (map, fd))| (name.as_str(), fd.as_raw_fd(), map)),
            &text,
        )?;
        self.obj.relocate_calls(&text)?;
        let maps = maps
            .into_iter()
            .map(|(name, (map, fd))| {
                let map = Map::new(fd, map.map_type(), map.key_size(), map.value_size(), map.max_entries());
                (name, Arc::new(map))
            })
            .collect();
        Ok(Linked { obj: self.obj, sections: self.sections, maps })
    }
}

fn create_map(name: &str, map: &aya_obj::Map, grows: bool) -> io::Result<OwnedFd> {
    let unsupported = if grows { 0 } else { BPF_F_NO_PREALLOC };
    let spec = sys::MapSpec {
        name: name.trim_start_matches('.'),
        map_type: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: map.max_entries(),
        flags: map.map_flags() & !unsupported,
    };
    let fd = sys::map_create(&spec)?;
    if spec.map_type == bpf_map_type::BPF_MAP_TYPE_ARRAY as u32 && name.starts_with('.') {
        sys::map_update(fd.as_fd(), &0u32.to_ne_bytes(), map.data())?;
        if name.starts_with(".rodata") {
            sys::map_freeze(fd.as_fd())?;
        }
    }
    Ok(fd)
}

/// An object whose maps exist: its programs can be loaded, one by one.
pub struct Linked {
    obj: aya_obj::Object,
    sections: HashMap<String, String>,
    maps: HashMap<String, Arc<Map>>,
}

impl Linked {
    /// A map by name; `None` if no program uses it.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<Arc<Map>> {
        self.maps.get(name).cloned()
    }

    /// The instructions of the program in a section such as `tp_btf/sched_switch`.
    #[must_use]
    pub fn code(&self, section: &str) -> Option<Code<'_>> {
        let (name, _) = self.sections.iter().find(|(_, of)| *of == section)?;
        let program = self.obj.programs.get(name)?;
        let function = self.obj.functions.get(&program.function_key())?;
        Some(Code { name, instructions: &function.instructions, license: &program.license })
    }
}

/// A program ready to be loaded.
pub struct Code<'a> {
    pub name: &'a str,
    pub instructions: &'a [aya_obj::generated::bpf_insn],
    pub license: &'a CString,
}
