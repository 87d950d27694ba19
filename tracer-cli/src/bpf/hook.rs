//! Hooks: where programs attach, as data, with alternatives.

use std::{
    ffi::CString,
    fmt, fs,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
};

use aya_obj::generated::{bpf_attach_type, bpf_insn, bpf_prog_type};
use thiserror::Error;

use super::{
    map::online_cpus,
    object::{Linked, Query},
    sys,
    tracefs::Tracefs,
};
use crate::btf::{Btf, Class};

/// A place in the kernel where a program can run. The program for it stands in the object's
/// section `kind/target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// A tracepoint with typed arguments.
    TpBtf(&'static str),
    /// A tracepoint with plain arguments: for kernels without BTF of their own.
    RawTp(&'static str),
    /// A tracepoint's record, by category and name; for syscalls, narrower than the raw ones.
    Tracepoint(&'static str, &'static str),
    /// A kernel function's start.
    Fentry(&'static str),
    /// A kernel function's end, with its arguments and its result.
    Fexit(&'static str),
    /// A kernel function's start, on kernels without fentry.
    Kprobe(&'static str),
    /// A sample of what a CPU does, as often as the run wants.
    Sample(Clock),
    /// An iterator over kernel objects; it runs when asked to.
    Iter(&'static str),
    /// A function of user space at its start, in each file where the run looks at it.
    Uprobe(&'static str),
    /// The same at its return.
    Uretprobe(&'static str),
}

/// What makes a CPU's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Its cycles, which the hardware counts: even where interrupts are off.
    Cycles,
    /// A timer.
    Timer,
}

/// How often CPUs are sampled, and which.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sampling {
    /// Samples a second.
    pub hz: u32,
    /// One only.
    pub cpu: Option<u32>,
}

/// Where a function of user space is.
#[derive(Clone, Debug)]
pub struct UserFunction {
    pub name: &'static str,
    /// A path that leads to the file from here.
    pub file: PathBuf,
    pub offset: u64,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TpBtf(name) => write!(f, "tp_btf/{name}"),
            Self::RawTp(name) => write!(f, "raw_tp/{name}"),
            Self::Tracepoint(category, name) => write!(f, "tracepoint/{category}/{name}"),
            Self::Fentry(name) => write!(f, "fentry/{name}"),
            Self::Fexit(name) => write!(f, "fexit/{name}"),
            Self::Kprobe(name) => write!(f, "kprobe/{name}"),
            Self::Sample(Clock::Cycles) => write!(f, "perf_event/cycles"),
            Self::Sample(Clock::Timer) => write!(f, "perf_event/cpu_clock"),
            Self::Iter(name) => write!(f, "iter/{name}"),
            Self::Uprobe(name) => write!(f, "uprobe/{name}"),
            Self::Uretprobe(name) => write!(f, "uretprobe/{name}"),
        }
    }
}

impl Hook {
    /// The BTF name that must exist for this hook.
    pub fn btf_name(&self) -> Option<(Class, String)> {
        match self {
            Self::TpBtf(name) | Self::RawTp(name) => Some((Class::Typedef, format!("btf_trace_{name}"))),
            Self::Fentry(name) | Self::Fexit(name) => Some((Class::Func, (*name).to_owned())),
            Self::Iter(name) => Some((Class::Func, format!("bpf_iter_{name}"))),
            Self::Tracepoint(..)
            | Self::Kprobe(_)
            | Self::Sample(_)
            | Self::Uprobe(_)
            | Self::Uretprobe(_) => None,
        }
    }
}

/// Hooks that belong together, with alternatives in order of preference: the first whose hooks
/// this kernel all has is taken.
pub type Point = &'static [&'static [Hook]];

/// Why a hook can't be used here.
#[derive(Debug, Error)]
pub enum HookError {
    #[error("{0}")]
    Absent(String),
    #[error("{hook}: the kernel refuses the program: {error}{}", last_line(.log))]
    Refused { hook: Hook, error: io::Error, log: String },
    #[error("{hook}: attaching failed: {error}")]
    Attach { hook: Hook, error: io::Error },
    #[error("the built-in object has no program for {0}")]
    NoProgram(Hook),
}

/// The end of the verifier's log says why; the rest is for `-v`.
fn last_line(log: &str) -> String {
    let reason = log.lines().rfind(|line| !line.starts_with("processed ") && !line.trim().is_empty());
    reason.map(|line| format!(" ({line})")).unwrap_or_default()
}

impl HookError {
    /// The verifier's log, if it spoke.
    #[must_use]
    pub fn verifier_log(&self) -> Option<&str> {
        match self {
            Self::Refused { log, .. } if !log.is_empty() => Some(log),
            _ => None,
        }
    }
}

/// The running kernel, as far as hooks go.
pub struct Kernel {
    pub btf: Option<Btf>,
    /// The BTF is a file's: the kernel has none, and so no BTF-typed programs.
    pub btf_is_foreign: bool,
    pub tracefs: Option<Tracefs>,
    /// Where the run looks at functions of user space.
    pub user_functions: Vec<UserFunction>,
    /// How the run samples, if it does.
    pub sampling: Sampling,
    /// Say how much work each program is for the verifier.
    pub verbose: bool,
    /// Load nothing, not even to see whether the kernel takes it.
    pub only_looks: bool,
    fentry: OnceLock<Result<(), String>>,
}

/// A function of kernels that skip a program on a tracepoint that it is running on already:
/// <https://git.kernel.org/torvalds/c/05b24ff9b2cf>.
pub const SKIPS_NESTED: &str = "bpf_prog_inc_misses_counter";

/// A function of kernels whose hash maps may be without entries made beforehand, whatever the program:
/// <https://git.kernel.org/torvalds/c/96da3f7d489d>.
pub const GROWS: &str = "bpf_mem_cache_alloc";

/// A function that every kernel has and that may be traced, to try fentry on.
pub const FENTRY_PROBE: &str = "vfs_read";

impl Kernel {
    #[must_use]
    pub fn new(btf: Option<Btf>, btf_is_foreign: bool) -> Self {
        Self {
            btf,
            btf_is_foreign,
            tracefs: Tracefs::find(),
            user_functions: Vec::new(),
            sampling: Sampling::default(),
            verbose: false,
            only_looks: false,
            fentry: OnceLock::new(),
        }
    }

    fn typed_id(&self, hook: &Hook) -> Result<u32, HookError> {
        let absent = |why: String| Err(HookError::Absent(why));
        let Some(btf) = self.btf.as_ref().filter(|_| !self.btf_is_foreign) else {
            return absent(format!("{hook} needs BTF in the kernel (CONFIG_DEBUG_INFO_BTF)"));
        };
        let id = hook.btf_name().and_then(|(class, name)| btf.id(class, &name));
        id.map_or_else(|| absent(format!("this kernel has no {hook}")), Ok)
    }

    /// Whether a hook can be used, as far as can be told without loading its program.
    ///
    /// # Errors
    /// With the reason why not.
    pub fn check(&self, hook: &Hook) -> Result<(), HookError> {
        match hook {
            Hook::TpBtf(_) | Hook::Iter(_) => self.typed_id(hook).map(drop),
            Hook::RawTp(name) => match &self.btf {
                Some(btf) if btf.id(Class::Typedef, &format!("btf_trace_{name}")).is_none() => {
                    Err(HookError::Absent(format!("this kernel has no {hook}")))
                }
                _ => Ok(()),
            },
            Hook::Fentry(_) | Hook::Fexit(_) => {
                self.typed_id(hook)?;
                if self.only_looks { Ok(()) } else { self.fentry().map_err(HookError::Absent) }
            }
            Hook::Kprobe(_) => kprobe_pmu().map(drop),
            Hook::Uprobe(_) | Hook::Uretprobe(_) => uprobe_pmu().map(drop),
            Hook::Tracepoint(category, name) => self.tracepoint_id(category, name).map(drop),
            Hook::Sample(clock) if self.only_looks => has_clock(*clock),
            Hook::Sample(clock) => self.sample(*hook, *clock, 0).map(drop),
        }
    }

    /// Whether this kernel takes fentry programs, found by loading one that does nothing.
    ///
    /// # Errors
    /// With the reason why not.
    pub fn fentry(&self) -> Result<(), String> {
        self.fentry.get_or_init(|| self.try_fentry()).clone()
    }

    fn try_fentry(&self) -> Result<(), String> {
        let hook = Hook::Fentry(FENTRY_PROBE);
        let id = self.typed_id(&hook).map_err(|error| error.to_string())?;
        let nothing = [instruction(0xb7), instruction(0x95)]; // r0 = 0; exit
        let spec = sys::ProgramSpec {
            name: "fentry_probe",
            kind: bpf_prog_type::BPF_PROG_TYPE_TRACING,
            attach_type: Some(bpf_attach_type::BPF_TRACE_FENTRY),
            attach_btf_id: id,
            instructions: &nothing,
            license: c"GPL",
        };
        let program =
            sys::program_load(&spec).map_err(|(error, _)| format!("this kernel refuses fentry ({error})"))?;
        sys::raw_tracepoint_open(None, program.as_fd())
            .map(drop)
            .map_err(|error| format!("this kernel refuses fentry ({error})"))
    }

    /// Opens a CPU's event of samples, which does not count yet.
    fn sample(&self, hook: Hook, clock: Clock, cpu: u32) -> Result<OwnedFd, HookError> {
        sys::perf_sample(clock == Clock::Cycles, self.sampling.hz.max(1), cpu).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => {
                    HookError::Absent(format!("this machine has no counter for {hook}"))
                }
                Some(libc::EINVAL) => HookError::Absent(format!(
                    "{hook}: the kernel refuses {} samples a second (see kernel.perf_event_max_sample_rate)",
                    self.sampling.hz
                )),
                _ => HookError::Attach { hook, error },
            }
        })
    }

    fn tracepoint_id(&self, category: &str, name: &str) -> Result<u64, HookError> {
        let absent = HookError::Absent;
        let tracefs = self.tracefs.as_ref().ok_or_else(|| {
            absent(format!(
                "tracepoint/{category}/{name} needs tracefs: mount -t tracefs nodev /sys/kernel/tracing"
            ))
        })?;
        tracefs
            .id(category, name)
            .ok_or_else(|| absent(format!("this kernel has no tracepoint/{category}/{name}")))
    }

    /// Resolves a question that the BTF can't answer: where a tracepoint's record has a field.
    #[must_use]
    pub fn resolve(&self, query: &Query, size: u32) -> Option<u64> {
        match query {
            Query::Record { category, name, field } => {
                let field = self.tracefs.as_ref()?.format(category, name)?.get(field).copied()?;
                (size == 0 || field.size == size).then_some(u64::from(field.offset))
            }
            // Helpers that give types need the kernel's own.
            Query::Enumerator(name) if self.btf_is_foreign && name.starts_with("bpf_func_id__") => None,
            _ => query.resolve(self.btf.as_ref()?, size),
        }
    }

    /// Loads the program for a hook.
    ///
    /// # Errors
    /// If the kernel lacks the hook or refuses the program.
    pub fn load(&self, hook: Hook, object: &Linked) -> Result<Loaded, HookError> {
        match hook {
            Hook::Kprobe(_) => kprobe_pmu().map(drop)?,
            Hook::Uprobe(_) | Hook::Uretprobe(_) => uprobe_pmu().map(drop)?,
            // The program finds its record's fields by what tracefs says of them.
            Hook::Tracepoint(category, name) => self.tracepoint_id(category, name).map(drop)?,
            // Attaching would say it too, when it is too late to do without.
            Hook::RawTp(_) | Hook::Sample(_) => self.check(&hook)?,
            _ => {}
        }
        self.load_unattached(hook, object)
    }

    /// Loads the program for a hook that the kernel need not have: it may be there to be run, not attached.
    ///
    /// # Errors
    /// If the kernel refuses it.
    pub fn load_unattached(&self, hook: Hook, object: &Linked) -> Result<Loaded, HookError> {
        use bpf_attach_type::{
            BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_TRACE_ITER, BPF_TRACE_RAW_TP, BPF_TRACE_UPROBE_MULTI,
        };
        use bpf_prog_type::{
            BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_RAW_TRACEPOINT,
            BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_TRACING,
        };
        let (kind, attach_type) = match hook {
            Hook::TpBtf(_) => (BPF_PROG_TYPE_TRACING, Some(BPF_TRACE_RAW_TP)),
            Hook::Fentry(_) => (BPF_PROG_TYPE_TRACING, Some(BPF_TRACE_FENTRY)),
            Hook::Fexit(_) => (BPF_PROG_TYPE_TRACING, Some(BPF_TRACE_FEXIT)),
            Hook::Iter(_) => (BPF_PROG_TYPE_TRACING, Some(BPF_TRACE_ITER)),
            Hook::RawTp(_) => (BPF_PROG_TYPE_RAW_TRACEPOINT, None),
            Hook::Tracepoint(..) => (BPF_PROG_TYPE_TRACEPOINT, None),
            Hook::Kprobe(_) => (BPF_PROG_TYPE_KPROBE, None),
            Hook::Sample(_) => (BPF_PROG_TYPE_PERF_EVENT, None),
            // Kernels that have no such links do not look at it.
            Hook::Uprobe(_) | Hook::Uretprobe(_) => (BPF_PROG_TYPE_KPROBE, Some(BPF_TRACE_UPROBE_MULTI)),
        };
        let attach_btf_id = if kind == BPF_PROG_TYPE_TRACING { self.typed_id(&hook)? } else { 0 };
        let code = object.code(&hook.to_string()).ok_or(HookError::NoProgram(hook))?;
        let spec = sys::ProgramSpec {
            name: code.name,
            kind,
            attach_type,
            attach_btf_id,
            instructions: code.instructions,
            license: code.license,
        };
        let program =
            sys::program_load(&spec).map_err(|(error, log)| HookError::Refused { hook, error, log })?;
        if self.verbose {
            let stats = sys::program_stats(&spec);
            let stats = stats.trim().replace('\n', "; ");
            eprintln!("tracer: {hook}: {} instructions; {stats}", code.instructions.len());
        }
        let nested = self.load_nested(hook, object, spec)?;
        Ok(Loaded { hook, program, nested })
    }

    /// Whether the kernel has a function of this name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.btf.as_ref().is_some_and(|btf| btf.id(Class::Func, name).is_some())
    }

    /// Loads the copy of a program for events that come while it runs, where the kernel would skip it.
    fn load_nested(
        &self,
        hook: Hook,
        object: &Linked,
        first: sys::ProgramSpec<'_>,
    ) -> Result<Option<OwnedFd>, HookError> {
        let code = object.code(&format!("{hook}+nested")).filter(|_| self.has_function(SKIPS_NESTED));
        let Some(code) = code else { return Ok(None) };
        let spec = sys::ProgramSpec { name: code.name, instructions: code.instructions, ..first };
        let loaded = sys::program_load(&spec);
        loaded.map(Some).map_err(|(error, log)| HookError::Refused { hook, error, log })
    }
}

fn instruction(code: u8) -> bpf_insn {
    bpf_insn { code, _bitfield_align_1: [], _bitfield_1: Default::default(), off: 0, imm: 0 }
}

/// The perf event type of kprobes.
fn kprobe_pmu() -> Result<u32, HookError> {
    pmu("kprobe", "CONFIG_KPROBES")
}

/// The perf event type of uprobes.
fn uprobe_pmu() -> Result<u32, HookError> {
    pmu("uprobe", "CONFIG_UPROBES")
}

fn pmu(name: &str, option: &str) -> Result<u32, HookError> {
    fs::read_to_string(format!("/sys/bus/event_source/devices/{name}/type"))
        .ok()
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| HookError::Absent(format!("this kernel has no {name}s ({option})")))
}

/// Whether samples can be had of a clock, as far as can be told without one. Processors whose cores are not
/// all alike have more counters than one.
fn has_clock(clock: Clock) -> Result<(), HookError> {
    const COUNTERS: [&str; 4] = ["cpu", "cpu_core", "armv8_pmuv3", "armv8_pmuv3_0"];
    let is_there = |name: &&str| Path::new("/sys/bus/event_source/devices").join(name).exists();
    if clock == Clock::Timer || COUNTERS.iter().any(is_there) {
        return Ok(());
    }
    Err(HookError::Absent("this machine has no counter of cycles".to_owned()))
}

/// Whether this kernel has kprobes.
#[must_use]
pub fn has_kprobes() -> bool {
    kprobe_pmu().is_ok()
}

/// A program the kernel has accepted.
pub struct Loaded {
    pub hook: Hook,
    program: OwnedFd,
    nested: Option<OwnedFd>,
}

impl Loaded {
    /// Runs a program for raw tracepoints here and now, attached to nothing; what it returned.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn run(&self, arguments: &[u64]) -> io::Result<u32> {
        sys::program_run(self.program.as_fd(), arguments)
    }

    /// Attaches it.
    ///
    /// # Errors
    /// If the kernel refuses, or has no such function.
    pub fn attach(self, kernel: &Kernel) -> Result<Link, HookError> {
        let hook = self.hook;
        let failed = |error: io::Error| match error.raw_os_error() {
            Some(libc::ENOENT) => HookError::Absent(format!("this kernel has no {hook}")),
            _ => HookError::Attach { hook, error },
        };
        let program = self.program.as_fd();
        let mut nested = None;
        let link = match hook {
            Hook::Fentry(_) | Hook::Fexit(_) => sys::raw_tracepoint_open(None, program).map_err(failed)?,
            Hook::TpBtf(_) | Hook::RawTp(_) => {
                let name = match hook {
                    Hook::RawTp(name) => Some(CString::new(name).map_err(|error| failed(error.into()))?),
                    _ => None,
                };
                let open = |program| sys::raw_tracepoint_open(name.as_deref(), program).map_err(failed);
                // The kernel calls them in this order, and the second asks what the first has done.
                let first = open(program)?;
                nested = self.nested.as_ref().map(|program| open(program.as_fd())).transpose()?;
                first
            }
            Hook::Iter(_) => sys::iter_link(program).map_err(failed)?,
            Hook::Tracepoint(category, name) => {
                let event = sys::perf_tracepoint(kernel.tracepoint_id(category, name)?).map_err(failed)?;
                sys::perf_attach(event.as_fd(), program).map_err(failed)?;
                event
            }
            Hook::Uprobe(name) | Hook::Uretprobe(name) => {
                let links = attach_to_user(kernel, hook, name, program)?;
                return Ok(Link { hook, links, program: self.program, nested: None });
            }
            Hook::Sample(clock) => {
                let links = attach_to_cpus(kernel, hook, clock, program)?;
                return Ok(Link { hook, links, program: self.program, nested: None });
            }
            Hook::Kprobe(name) => {
                let event = sys::perf_kprobe(kprobe_pmu()?, false, name).map_err(failed)?;
                sys::perf_attach(event.as_fd(), program).map_err(failed)?;
                event
            }
        };
        let links = [link].into_iter().chain(nested).collect();
        Ok(Link { hook, links, program: self.program, nested: self.nested })
    }
}

/// Attaches a program wherever the run looks at a function of user space. A file may be gone since it was
/// found, with the process that had it; so only where all are gone this fails.
fn attach_to_user(
    kernel: &Kernel,
    hook: Hook,
    name: &str,
    program: BorrowedFd<'_>,
) -> Result<Vec<OwnedFd>, HookError> {
    let pmu = uprobe_pmu()?;
    let (mut links, mut refused) = (Vec::new(), None);
    for function in kernel.user_functions.iter().filter(|function| function.name == name) {
        let UserFunction { file, offset, .. } = function;
        let is_return = matches!(hook, Hook::Uretprobe(_));
        // A perf event does it on every kernel. But those are detached one by one, a tenth of a second each.
        let link = sys::uprobe_link(program, is_return, file, *offset).or_else(|_| {
            let event = sys::perf_uprobe(pmu, is_return, file, *offset)?;
            sys::perf_attach(event.as_fd(), program).map(|()| event)
        });
        match link {
            Ok(link) => links.push(link),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if links.is_empty() => Err(HookError::Attach { hook, error }),
        _ => Ok(links),
    }
}

/// Attaches a program to samples of the CPUs that are there now.
fn attach_to_cpus(
    kernel: &Kernel,
    hook: Hook,
    clock: Clock,
    program: BorrowedFd<'_>,
) -> Result<Vec<OwnedFd>, HookError> {
    let cpus = match kernel.sampling.cpu {
        Some(cpu) => vec![cpu],
        None => online_cpus(),
    };
    let attach = |cpu| {
        let event = kernel.sample(hook, clock, cpu)?;
        let attached = sys::perf_attach(event.as_fd(), program);
        attached.map(|()| event).map_err(|error| HookError::Attach { hook, error })
    };
    cpus.into_iter().map(attach).collect()
}

/// Detaches programs. From functions of user space that takes the kernel a tenth of a second, so those are
/// detached side by side.
pub fn detach(links: &mut Vec<Link>) {
    const THREADS: usize = 64;
    let is_user = |link: &mut Link| matches!(link.hook, Hook::Uprobe(_) | Hook::Uretprobe(_));
    let mut user: Vec<OwnedFd> = links.extract_if(.., is_user).flat_map(|link| link.links).collect();
    while !user.is_empty() {
        let some = user.split_off(user.len().saturating_sub(THREADS));
        thread::scope(|scope| {
            for link in some {
                // Where no thread is to be had, this one drops it.
                let _ = thread::Builder::new().spawn_scoped(scope, move || drop(link));
            }
        });
    }
    links.clear();
}

/// An attached program; dropping it detaches it.
pub struct Link {
    pub hook: Hook,
    /// One, or for a function of user space one a file, and for samples one a CPU.
    links: Vec<OwnedFd>,
    program: OwnedFd,
    nested: Option<OwnedFd>,
}

impl Link {
    /// The kernel's number of the program.
    ///
    /// # Errors
    /// If the kernel does not tell.
    #[cfg(feature = "debug-log")]
    pub fn program_id(&self) -> io::Result<u32> {
        sys::program_info(self.program.as_fd()).map(|info| info.id)
    }

    /// Events that the kernel skipped the programs for, because they were running on that CPU.
    #[must_use]
    pub fn missed(&self) -> u64 {
        // What one of two copies misses, the other one sees.
        if self.nested.is_some() {
            return 0;
        }
        sys::program_info(self.program.as_fd()).map_or(0, |info| info.recursion_misses)
    }

    /// Runs an iterator program over all its objects and returns what it wrote.
    ///
    /// # Errors
    /// If this is no iterator or reading fails.
    pub fn iterate(&self) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        let link = self.links.first().ok_or(io::ErrorKind::NotFound)?;
        fs::File::from(sys::iter_create(link.as_fd())?).read_to_end(&mut output)?;
        Ok(output)
    }
}
