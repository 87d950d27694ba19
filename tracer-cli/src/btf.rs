//! A reader of the kernel's BTF: just what resolving fields needs, in one pass.
//!
//! The blob of a kernel has some 130,000 types in 5 MB; a full parse costs 13 ms or more, this one
//! about two: it notes where each type starts and remembers the ids of the few names asked for.
//! Format: <https://docs.kernel.org/bpf/btf.html>.

use std::{cell::Cell, collections::HashMap, fs::File, io, io::Read, ops::Deref, path::Path};

use thiserror::Error;

use crate::system::mapping::Mapping;

const MAGIC: u16 = 0xeb9f;
/// A path is looked for in no more members than this: damaged types can hold themselves many times over.
const MAX_MEMBERS: u32 = 1 << 14;
/// Deeper nesting of anonymous members or typedefs than this is not C but a hostile blob.
const MAX_DEPTH: u32 = 32;

/// Why a blob can't be read.
#[derive(Debug, Error)]
pub enum BtfError {
    #[error("not BTF, or of another byte order")]
    Magic,
    #[error("BTF is cut short at byte {0}")]
    Truncated(usize),
    #[error("BTF type of unknown kind {0}")]
    Kind(u32),
}

/// `BTF_KIND_*`
mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
    pub const LAST: u32 = ENUM64;
}

/// What a name is looked up as: names of different classes do not collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A struct or union.
    Struct,
    /// An enum of either width.
    Enum,
    Typedef,
    Func,
}

impl Class {
    fn of(kind: u32) -> Option<Self> {
        match kind {
            kind::STRUCT | kind::UNION => Some(Self::Struct),
            kind::ENUM | kind::ENUM64 => Some(Self::Enum),
            kind::TYPEDEF => Some(Self::Typedef),
            kind::FUNC => Some(Self::Func),
            _ => None,
        }
    }
}

/// Where a member lies in its struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the outermost struct.
    pub offset: u32,
    /// Bytes, with typedefs and arrays resolved.
    pub size: u32,
    type_id: u32,
    bitfield: bool,
}

/// One type's record: its header, and where its details start.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    vlen: usize,
    flag: bool,
    size_or_type: u32,
    details: usize,
}

/// The bytes of a BTF file.
pub enum Blob {
    /// Not copied: kernels from 6.15 on let their BTF be mapped.
    Mapped(Mapping),
    Read(Vec<u8>),
}

impl Blob {
    /// Maps or reads a file.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        // A regular file could be cut while it is mapped, which would be fatal; sysfs can't.
        if path.starts_with("/sys/")
            && let Ok(mapping) = Mapping::private(&file, length)
        {
            return Ok(Self::Mapped(mapping));
        }
        let mut data = Vec::with_capacity(length + 1);
        file.read_to_end(&mut data)?;
        Ok(Self::Read(data))
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => mapping.bytes(),
            Self::Read(data) => data,
        }
    }
}

/// A parsed blob, with the ids of the names it was told to look for.
pub struct Btf {
    data: Blob,
    strings: std::ops::Range<usize>,
    /// Byte offset of each type's record by id; id 0 is void.
    records: Vec<u32>,
    ids: HashMap<(Class, String), u32>,
}

impl Btf {
    /// Parses `data` and remembers the ids of the types `wanted`.
    ///
    /// # Errors
    /// If the blob is no BTF of this machine's byte order, or damaged.
    pub fn parse<'a>(
        data: Blob,
        wanted: impl IntoIterator<Item = (Class, &'a str)>,
    ) -> Result<Self, BtfError> {
        let mut btf = Self { data, strings: 0..0, records: vec![0], ids: HashMap::new() };
        let types = btf.read_header()?;
        let wanted = Wanted::new(wanted);
        btf.scan(types, &wanted)?;
        Ok(btf)
    }

    /// Checks the header and gives the range of the type section.
    fn read_header(&mut self) -> Result<std::ops::Range<usize>, BtfError> {
        let magic = self.data.first_chunk::<2>().ok_or(BtfError::Truncated(0))?;
        if u16::from_ne_bytes(*magic) != MAGIC {
            return Err(BtfError::Magic);
        }
        let header = self.u32(4)? as usize;
        let section = |offset: u32, length: u32| {
            let start = header.checked_add(offset as usize).ok_or(BtfError::Truncated(8))?;
            let end = start.checked_add(length as usize).ok_or(BtfError::Truncated(8))?;
            if end > self.data.len() { Err(BtfError::Truncated(end)) } else { Ok(start..end) }
        };
        let types = section(self.u32(8)?, self.u32(12)?)?;
        self.strings = section(self.u32(16)?, self.u32(20)?)?;
        Ok(types)
    }

    fn scan(&mut self, types: std::ops::Range<usize>, wanted: &Wanted<'_>) -> Result<(), BtfError> {
        // A record is 12 bytes and mostly a few more.
        self.records.reserve(types.len() / 24);
        let mut at = types.start;
        while at < types.end {
            let record = self.record_at(at)?;
            let id = self.records.len() as u32;
            self.records.push(at as u32);
            if let Some(class) = Class::of(record.kind)
                && let Some(name) = wanted.get(class, self.string(record.name))
            {
                // The first one counts: a later one of the same name is a module's or a variant's.
                self.ids.entry((class, name.to_owned())).or_insert(id);
            }
            at = record.details + details_len(&record)?;
        }
        if at > types.end { Err(BtfError::Truncated(types.end)) } else { Ok(()) }
    }

    fn u32(&self, at: usize) -> Result<u32, BtfError> {
        self.data
            .get(at..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map(|bytes| u32::from_ne_bytes(*bytes))
            .ok_or(BtfError::Truncated(at))
    }

    /// The bytes of the string at `offset` and all that follow it; empty if there is none.
    fn string(&self, offset: u32) -> &[u8] {
        let strings = &self.data[self.strings.clone()];
        strings.get(offset as usize..).unwrap_or_default()
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let string = self.string(offset);
        string.starts_with(name.as_bytes()) && string.get(name.len()) == Some(&0)
    }

    fn record_at(&self, at: usize) -> Result<Type, BtfError> {
        let info = self.u32(at + 4)?;
        Ok(Type {
            name: self.u32(at)?,
            kind: (info >> 24) & 0x1f,
            vlen: (info & 0xffff) as usize,
            flag: info >> 31 == 1,
            size_or_type: self.u32(at + 8)?,
            details: at + 12,
        })
    }

    fn record(&self, id: u32) -> Option<Type> {
        let at = *self.records.get(id as usize).filter(|_| id != 0)?;
        self.record_at(at as usize).ok()
    }

    /// The id of a type that was asked for when parsing.
    #[must_use]
    pub fn id(&self, class: Class, name: &str) -> Option<u32> {
        self.ids.get(&(class, name.to_owned())).copied()
    }

    /// The size of a struct, union or enum, in bytes.
    #[must_use]
    pub fn size_of(&self, name: &str) -> Option<u32> {
        let id = self.id(Class::Struct, name).or_else(|| self.id(Class::Enum, name))?;
        self.type_size(id, 0)
    }

    /// The value of an enumerator.
    #[must_use]
    pub fn enumerator(&self, name: &str, enumerator: &str) -> Option<u64> {
        let record = self.record(self.id(Class::Enum, name)?)?;
        let (width, wide) = if record.kind == kind::ENUM64 { (12, true) } else { (8, false) };
        (0..record.vlen).find_map(|index| {
            let at = record.details + index * width;
            if !self.is_named(self.u32(at).ok()?, enumerator) {
                return None;
            }
            let low = u64::from(self.u32(at + 4).ok()?);
            let high = if wide { u64::from(self.u32(at + 8).ok()?) } else { 0 };
            Some(high << 32 | low)
        })
    }

    /// The number of arguments of a tracepoint, without the hidden first one.
    #[must_use]
    pub fn tracepoint_args(&self, tracepoint: &str) -> Option<u32> {
        let typedef = self.record(self.id(Class::Typedef, &format!("btf_trace_{tracepoint}"))?)?;
        let pointer = self.record(typedef.size_or_type).filter(|t| t.kind == kind::PTR)?;
        let proto = self.record(pointer.size_or_type).filter(|t| t.kind == kind::FUNC_PROTO)?;
        (proto.vlen as u32).checked_sub(1)
    }

    /// Finds the member at a path such as `__sk_common.skc_dport`, looking through anonymous
    /// members. A bitfield is not found: it has no address.
    #[must_use]
    pub fn member(&self, name: &str, path: &[&str]) -> Option<Member> {
        let mut found =
            Member { offset: 0, size: 0, type_id: self.id(Class::Struct, name)?, bitfield: false };
        let left = Cell::new(MAX_MEMBERS);
        for step in path {
            let inner = self.member_of(found.type_id, step, &left, 0)?;
            found = Member { offset: found.offset.checked_add(inner.offset)?, ..inner };
        }
        if found.bitfield {
            return None;
        }
        found.size = self.type_size(found.type_id, 0)?;
        Some(found)
    }

    fn member_of(&self, type_id: u32, name: &str, left: &Cell<u32>, depth: u32) -> Option<Member> {
        if depth > MAX_DEPTH {
            return None;
        }
        let record = self.record(self.strip(type_id)?)?;
        if !matches!(record.kind, kind::STRUCT | kind::UNION) {
            return None;
        }
        (0..record.vlen).find_map(|index| {
            left.set(left.get().checked_sub(1)?);
            let at = record.details + index * 12;
            let member_name = self.u32(at).ok()?;
            let type_id = self.u32(at + 4).ok()?;
            let position = self.u32(at + 8).ok()?;
            let (bits, bitfield) =
                if record.flag { (position & 0xff_ffff, position >> 24 != 0) } else { (position, false) };
            let offset = bits / 8;
            if self.is_named(member_name, name) {
                return Some(Member { offset, size: 0, type_id, bitfield });
            }
            if !self.is_named(member_name, "") {
                return None;
            }
            let inner = self.member_of(type_id, name, left, depth + 1)?;
            Some(Member { offset: offset.checked_add(inner.offset)?, ..inner })
        })
    }

    /// The type behind typedefs and qualifiers.
    fn strip(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let record = self.record(id)?;
            match record.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = record.size_or_type;
                }
                _ => return Some(id),
            }
        }
        None
    }

    fn type_size(&self, id: u32, depth: u32) -> Option<u32> {
        if depth > MAX_DEPTH {
            return None;
        }
        let record = self.record(self.strip(id)?)?;
        match record.kind {
            kind::PTR => Some(8),
            kind::ARRAY => {
                let element = self.type_size(self.u32(record.details).ok()?, depth + 1)?;
                element.checked_mul(self.u32(record.details + 8).ok()?)
            }
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => Some(record.size_or_type),
            _ => None,
        }
    }
}

/// Bytes that follow a record's 12-byte header.
fn details_len(record: &Type) -> Result<usize, BtfError> {
    let vlen = record.vlen;
    Ok(match record.kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => vlen * 12,
        kind::ENUM | kind::FUNC_PROTO => vlen * 8,
        0 | kind::LAST.. => return Err(BtfError::Kind(record.kind)),
        _ => 0,
    })
}

/// The names looked for, behind a small filter: nearly all of a kernel's names fail it.
struct Wanted<'a> {
    names: HashMap<&'a [u8], Vec<(Class, &'a str)>>,
    filter: Box<[u64; 64]>,
}

impl<'a> Wanted<'a> {
    fn new(wanted: impl IntoIterator<Item = (Class, &'a str)>) -> Self {
        let mut names: HashMap<&[u8], Vec<(Class, &str)>> = HashMap::new();
        let mut filter = Box::new([0u64; 64]);
        for (class, name) in wanted {
            names.entry(name.as_bytes()).or_default().push((class, name));
            let hash = Self::hash(name.as_bytes());
            filter[hash / 64] |= 1 << (hash % 64);
        }
        Self { names, filter }
    }

    /// Twelve bits of the first eight bytes, up to the terminator.
    fn hash(name: &[u8]) -> usize {
        let mut prefix = [0u8; 8];
        for (to, from) in prefix.iter_mut().zip(name) {
            if *from == 0 {
                break;
            }
            *to = *from;
        }
        (u64::from_ne_bytes(prefix).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize
    }

    fn get(&self, class: Class, string: &[u8]) -> Option<&'a str> {
        let hash = Self::hash(string);
        if self.filter[hash / 64] & (1 << (hash % 64)) == 0 {
            return None;
        }
        let end = string.iter().position(|&byte| byte == 0)?;
        let candidates = self.names.get(&string[..end])?;
        candidates.iter().find(|(wanted, _)| *wanted == class).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf};

    use super::*;
    use crate::{
        bpf::{hook::Hook, object::Query},
        cli,
        engine::session::{VMLINUX, wanted_names},
        tools::TOOLS,
    };

    /// The kernels whose BTF `cargo xtask test` has put by, and the running one.
    fn blobs() -> Vec<(String, PathBuf)> {
        let folder = env::var_os("TRACER_BTF_DIR").map(PathBuf::from);
        let files =
            folder.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
        let mut blobs: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "btf"))
            .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
            .collect();
        if PathBuf::from(VMLINUX).exists() {
            blobs.push(("running".to_owned(), VMLINUX.into()));
        }
        assert!(!blobs.is_empty(), "no kernel's BTF to test with: run `cargo xtask test`");
        blobs
    }

    fn parse(path: &Path, wanted: &[(Class, &str)]) -> Btf {
        Btf::parse(Blob::open(path).unwrap(), wanted.iter().copied()).unwrap()
    }

    /// Fields that only some kernels have; each has an alternative, or its user does without.
    const SOME_KERNELS_LACK: &[&str] = &[
        // Renamed in 5.14.
        "BTF_task_struct____state",
        "BTF_task_struct__state",
        // Since 5.11; before, the thread's fields are read by helper.
        "BTFE_bpf_func_id__BPF_FUNC_get_current_task_btf",
        // Ids until 6.0, pointers from 6.1 on.
        "BTF_cgroup__ancestors",
        "BTF_cgroup__ancestor_ids",
        // Moved to the queue in 5.17.
        "BTF_request__rq_disk",
        "BTF_request_queue__disk",
        // Renamed from req_opf in 6.0, and operations come and go.
        "BTFE_req_op*",
        // Pages until 5.15; where the order is has changed since.
        "BTF_folio__*",
        // Since 6.5; before, the submitter is known by block_getrq.
        "BTFA_block_io_start",
        // One with kmem_cache_alloc since 6.1, but in name.
        "BTFA_kmem_cache_alloc_node",
    ];

    fn some_kernels_lack(symbol: &str) -> bool {
        SOME_KERNELS_LACK.iter().any(|entry| match entry.strip_suffix('*') {
            Some(prefix) => symbol.starts_with(prefix),
            None => symbol == *entry,
        })
    }

    #[test]
    fn every_field_of_every_tool_is_found_in_every_kernel() {
        let mut missing = Vec::new();
        for (kernel, path) in blobs() {
            for tool in TOOLS {
                let object = cli::object_of(tool).unwrap();
                let plan = cli::default_plan(tool).unwrap();
                let wanted = wanted_names(&object, &plan);
                let wanted: Vec<_> = wanted.iter().map(|(class, name)| (*class, name.as_str())).collect();
                let btf = parse(&path, &wanted);
                let absent = object.symbols().iter().filter(|symbol| {
                    !matches!(symbol.query, Query::Record { .. })
                        && symbol.query.resolve(&btf, symbol.size).is_none()
                        && !some_kernels_lack(&symbol.name)
                });
                missing
                    .extend(absent.map(|symbol| format!("{kernel}: {}: {}", tool.about.name, symbol.name)));
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn one_of_each_renamed_pair_is_there() {
        for (kernel, path) in blobs() {
            let btf = parse(&path, &[(Class::Struct, "task_struct"), (Class::Struct, "cgroup")]);
            let has = |name, field| btf.member(name, &[field]).is_some();
            assert!(has("task_struct", "state") != has("task_struct", "__state"), "{kernel}");
            assert!(has("cgroup", "ancestors") != has("cgroup", "ancestor_ids"), "{kernel}");
        }
    }

    #[test]
    fn nested_and_anonymous_members_are_found() {
        for (kernel, path) in blobs() {
            let wanted = [(Class::Struct, "sock"), (Class::Struct, "dentry"), (Class::Struct, "sock_common")];
            let btf = parse(&path, &wanted);
            // skc_daddr is in an anonymous struct in an anonymous union in the first member.
            let daddr = btf.member("sock", &["__sk_common", "skc_daddr"]).unwrap();
            assert_eq!((daddr.offset, daddr.size), (0, 4), "{kernel}");
            assert_eq!(btf.member("sock_common", &["skc_daddr"]).unwrap().offset, 0, "{kernel}");
            let name = btf.member("dentry", &["d_name"]).unwrap();
            let inner = btf.member("dentry", &["d_name", "name"]).unwrap();
            assert_eq!((inner.offset - name.offset, inner.size), (8, 8), "{kernel}");
            assert_eq!(btf.member("dentry", &["no_such_member"]), None);
            assert_eq!(btf.member("no_such_struct", &["x"]), None);
        }
    }

    #[test]
    fn sizes_enumerators_and_arities() {
        for (kernel, path) in blobs() {
            let wanted = [
                (Class::Struct, "list_head"),
                (Class::Enum, "sock_flags"),
                (Class::Typedef, "btf_trace_sched_process_exec"),
                (Class::Typedef, "btf_trace_sys_exit"),
                (Class::Func, "vfs_read"),
            ];
            let btf = parse(&path, &wanted);
            assert_eq!(btf.size_of("list_head"), Some(16), "{kernel}");
            assert_eq!(btf.enumerator("sock_flags", "SOCK_DONE"), Some(1), "{kernel}");
            assert_eq!(btf.enumerator("sock_flags", "SOCK_NO_SUCH"), None, "{kernel}");
            assert_eq!(btf.tracepoint_args("sched_process_exec"), Some(3), "{kernel}");
            assert_eq!(btf.tracepoint_args("sys_exit"), Some(2), "{kernel}");
            assert_eq!(btf.tracepoint_args("no_such_tracepoint"), None, "{kernel}");
            assert!(btf.id(Class::Func, "vfs_read").is_some(), "{kernel}");
            assert!(btf.id(Class::Struct, "vfs_read").is_none(), "{kernel}");
        }
    }

    #[test]
    fn hooks_by_btf_exist_in_every_kernel() {
        for (kernel, path) in blobs() {
            for tool in TOOLS {
                let plan = cli::default_plan(tool).unwrap();
                for point in &plan.required {
                    let found = point.iter().any(|hooks| {
                        hooks.iter().all(|hook| match (hook, hook.btf_name()) {
                            (Hook::Tracepoint(..) | Hook::Kprobe(_), _) | (_, None) => true,
                            (_, Some((class, name))) => {
                                parse(&path, &[(class, &name)]).id(class, &name).is_some()
                            }
                        })
                    });
                    assert!(found, "{kernel}: {}: {point:?}", tool.about.name);
                }
            }
        }
    }

    #[test]
    fn symbols_are_split_where_the_kernel_says() {
        let (_, path) = blobs().remove(0);
        let query = Query::parse("BTF_sock____sk_common__skc_family").unwrap();
        let names = query.names();
        assert!(names.contains(&(Class::Struct, "sock".to_owned())));
        let wanted: Vec<_> = names.iter().map(|(class, name)| (*class, name.as_str())).collect();
        let btf = parse(&path, &wanted);
        assert!(query.resolve(&btf, 2).is_some());
        // A field of another size than the program reads is none.
        assert_eq!(query.resolve(&btf, 4), None);
        assert_eq!(Query::parse("FILTER_ON"), None);
    }

    /// A blob with one struct `s { u32 a; }`, all in the running machine's byte order.
    fn blob(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut blob = Vec::new();
        blob.extend(MAGIC.to_ne_bytes());
        blob.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
            blob.extend(word.to_ne_bytes());
        }
        [&blob[..], &types, strings].concat()
    }

    fn small() -> Vec<u8> {
        let types = [1, kind::INT << 24, 4, 32, 5, (kind::STRUCT << 24) | 1, 4, 7, 1, 0];
        blob(&types, b"\0u32\0s\0a\0")
    }

    /// A name, an id, a kind with some members, or anything.
    fn any_word() -> impl proptest::strategy::Strategy<Value = u32> {
        use proptest::prelude::*;
        prop_oneof![4 => 0u32..6, 2 => (0u32..21, 0u32..4).prop_map(|(kind, vlen)| kind << 24 | vlen), 1 => any::<u32>()]
    }

    #[test]
    fn a_struct_that_holds_itself_is_searched_in_bounded_time() {
        let types = [1, (kind::STRUCT << 24) | 3, 4, 0, 1, 0, 0, 1, 0, 0, 1, 0];
        let btf = Btf::parse(Blob::Read(blob(&types, b"\0s\0")), [(Class::Struct, "s")]).unwrap();
        assert_eq!(btf.member("s", &["x"]), None);
    }

    #[test]
    fn a_blob_made_by_hand() {
        let btf = Btf::parse(Blob::Read(small()), [(Class::Struct, "s")]).unwrap();
        assert_eq!(btf.member("s", &["a"]).map(|member| (member.offset, member.size)), Some((0, 4)));
        assert_eq!(btf.size_of("s"), Some(4));
    }

    #[test]
    fn what_is_no_btf_is_refused() {
        for data in [&b""[..], b"\x9f", b"ELF, or something else altogether", &[0; 64]] {
            assert!(Btf::parse(Blob::Read(data.to_vec()), []).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn types_of_every_kind_do_no_harm(words in proptest::collection::vec(any_word(), 0..64)) {
            let strings = b"\0s\0a\0btf_trace_s\0";
            let wanted = [Class::Struct, Class::Enum, Class::Typedef, Class::Func].map(|class| (class, "s"));
            let trace = [(Class::Typedef, "btf_trace_s")];
            if let Ok(btf) = Btf::parse(Blob::Read(blob(&words, strings)), wanted.into_iter().chain(trace)) {
                std::hint::black_box((btf.member("s", &["a", "s"]), btf.size_of("s")));
                std::hint::black_box((btf.enumerator("s", "a"), btf.tracepoint_args("s")));
            }
        }

        #[test]
        fn damaged_blobs_do_no_harm(at in 0usize..75, byte: u8, cut in 0usize..76) {
            let mut blob = small();
            if let Some(at) = blob.get_mut(at) {
                *at = byte;
            }
            blob.truncate(cut);
            if let Ok(btf) = Btf::parse(Blob::Read(blob), [(Class::Struct, "s")]) {
                std::hint::black_box((btf.member("s", &["a"]), btf.size_of("s")));
            }
        }
    }
}
