//! One run: load, attach, ready, drain, stop.

use std::{io, path::Path, rc::Rc, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, Interval, Sleep, interval, sleep_until},
};

use super::{
    child::{self, Child, Running},
    common::Common,
    filter::Filter,
    judge::Judge,
    origin::{self, Origin},
    plan::Plan,
    ready,
    signals::{self, STOP},
};
use crate::{
    bpf::{
        caps,
        hook::{
            self, FENTRY_PROBE, GROWS, Hook, HookError, Kernel, Link, Loaded, Point, SKIPS_NESTED,
            UserFunction,
        },
        map::Map,
        object::{Linked, Object, Symbol},
        ring::ring_size,
    },
    btf::{Blob, Btf, Class},
    error::Failure,
    output::{Clock, Column, Printer, Sink, WriteError},
};

/// The kernel's own BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// The reader is woken at once when the ring buffer holds this much, or a quarter of a small one.
const WAKE_BYTES: u64 = 256 << 10;

/// Everything attached, and what the loops need.
pub struct Session {
    pub common: Common,
    pub object: Linked,
    filter: Filter,
    links: Vec<Link>,
    /// What programs that are detached had missed.
    missed: u64,
    #[cfg(feature = "debug-log")]
    debug_log: Option<super::debug_log::DebugLog>,
    child: Option<Running>,
    /// The code of a command whose descendants still run, where the run waits for them.
    outlived: Option<u8>,
    /// When to look whether they do.
    look: Interval,
    interrupt: Signal,
    terminate: Signal,
    duration: Option<std::pin::Pin<Box<Sleep>>>,
    clock: Clock,
    sink: Option<Sink>,
    lost_said: u64,
    lost_checked: Instant,
    /// What is asked of the rows.
    pub judge: Option<Rc<Judge>>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time, its rows, or the user's wish.
    Done,
    /// The command ended, with this exit code.
    Command(u8),
}

/// Reads the kernel's BTF, looking for the names that an object and its hooks need.
///
/// # Errors
/// If a file given by the user can't be read or is none.
pub fn read_kernel(file: Option<&Path>, wanted: &[(Class, String)]) -> anyhow::Result<Kernel> {
    let path = file.unwrap_or(Path::new(VMLINUX));
    let data = match Blob::open(path) {
        Ok(data) => data,
        Err(_) if file.is_none() => return Err(no_btf().into()),
        Err(error) => bail!("--btf {}: {error}", path.display()),
    };
    let wanted = wanted.iter().map(|(class, name)| (*class, name.as_str()));
    let btf = Btf::parse(data, wanted).with_context(|| format!("BTF {}", path.display()))?;
    Ok(Kernel::new(Some(btf), file.is_some() && !Path::new(VMLINUX).exists()))
}

fn no_btf() -> Failure {
    Failure::Unsupported(format!(
        "this kernel has no BTF ({VMLINUX}, CONFIG_DEBUG_INFO_BTF), by which tracer finds its fields: give --btf FILE"
    ))
}

/// The names that an object's fields and a plan's hooks are looked up by.
#[must_use]
pub fn wanted_names(object: &Object, plan: &Plan) -> Vec<(Class, String)> {
    let fields = object.symbols().iter().flat_map(|symbol| symbol.query.names());
    let hooks = plan.hooks().filter_map(|hook| hook.btf_name());
    let probes = [SKIPS_NESTED, GROWS, FENTRY_PROBE].map(|name| (Class::Func, name.to_owned()));
    fields.chain(hooks).chain(probes).collect()
}

impl Session {
    /// Loads and attaches a plan's programs.
    ///
    /// # Errors
    /// [`Failure`]s where scripts care; nothing is left attached.
    pub fn start(common: Common, mut object: Object, plan: &Plan) -> anyhow::Result<Option<Self>> {
        caps::check()?;
        ready::claim(&common)?;
        let mut filter = Filter::new(&common)?;
        caps::raise_memlock();
        let mut kernel = read_kernel(common.btf.as_deref(), &wanted_names(&object, plan))?;
        kernel.verbose = common.verbose > 1;
        kernel.only_looks = common.dry_run;
        kernel.sampling = plan.sampling;
        if common.dry_run {
            return dry_run(&kernel, plan, &object, common.verbose).map(|()| None);
        }
        let sink = open_sink(&common)?;
        filter.find_numbers(common.btf.as_deref())?;
        object.resolve(&kernel)?;
        filter.apply(&mut object)?;
        apply_plan(&mut object, plan, &common)?;
        let object = object.create_maps()?;
        filter.fill(&object)?;
        fill_sets(&object, plan)?;
        if let Some(setup) = &plan.setup {
            setup(&kernel, &object)?;
        }

        let clock = Clock::now();
        let inherited = signals::watch(!common.command.is_empty())?;
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let child = match common.command.as_slice() {
            [] => None,
            command => Some(Child::hold(command, common.as_user, inherited)?),
        };
        if let Some(child) = &child {
            filter.add(&object, child.pid())?;
        }
        if let Some(find) = &plan.user_functions {
            kernel.user_functions = find()?;
        }
        let links = attach(&kernel, &object, plan, common.verbose)?;
        filter.add_descendants(&object)?;
        run_iterators(&links)?;
        ready::announce(&common)?;
        let child = child.map(Child::go);
        let duration = common.duration.map(|duration| Box::pin(sleep_until(Instant::now() + duration)));
        #[cfg(feature = "debug-log")]
        let debug_log = if common.verbose > 1 { super::debug_log::DebugLog::of(&links)? } else { None };
        Ok(Some(Self {
            common,
            object,
            filter,
            links,
            missed: 0,
            #[cfg(feature = "debug-log")]
            debug_log,
            child,
            outlived: None,
            look: interval(LOOK),
            interrupt,
            terminate,
            duration,
            clock,
            sink: Some(sink),
            lost_said: 0,
            lost_checked: Instant::now(),
            judge: None,
        }))
    }

    /// The run's printer.
    ///
    /// # Errors
    /// If there is one already, or it is to print other columns than these.
    pub fn printer(&mut self, columns: &[Column]) -> anyhow::Result<Printer> {
        let sink = self.sink.take().context("the output has a printer already")?;
        let view = &self.common.view;
        Ok(Printer::new(sink, view.layout(columns)?, view.options(), self.clock))
    }

    /// What tells where the processes of rows are, if that is asked for.
    ///
    /// # Errors
    /// If there is no cgroup v2.
    pub fn origin(&self, columns: &[Column]) -> anyhow::Result<Option<Origin>> {
        match self.object.map("CGROUPS").filter(|_| self.common.view.asks_for_origin()) {
            Some(cgroups) => Origin::new(cgroups, columns),
            None => Ok(None),
        }
    }

    /// A map that the tool's programs use.
    ///
    /// # Errors
    /// If they don't.
    pub fn map(&self, name: &str) -> anyhow::Result<Arc<Map>> {
        self.object.map(name).with_context(|| format!("the built-in object has no map {name}"))
    }

    /// Waits until the run is to end.
    ///
    /// # Errors
    /// If the command could not be run.
    pub async fn stopped(&mut self) -> anyhow::Result<Stop> {
        loop {
            // Signals are the command's while it runs.
            let ends_by_signal = self.child.is_none() || self.outlived.is_some();
            let code = tokio::select! {
                Some(()) = self.interrupt.recv(), if ends_by_signal => break,
                Some(()) = self.terminate.recv(), if ends_by_signal => break,
                () = wait_for(self.duration.as_mut()) => break,
                code = command_end(self.child.as_mut()), if self.outlived.is_none() => code?,
                _ = self.look.tick(), if ends_by_signal && self.common.wait => {
                    if self.filter.has_nobody_left(&self.object)? { break } else { continue }
                }
            };
            if !self.common.wait {
                return Ok(Stop::Command(code));
            }
            self.outlived = Some(code);
        }
        Ok(self.outlived.map_or(Stop::Done, Stop::Command))
    }

    /// Detaches all programs.
    pub fn detach(&mut self) {
        self.missed += self.links.iter().map(Link::missed).sum::<u64>();
        hook::detach(&mut self.links);
    }

    /// The iterators, which the caller will run again.
    pub fn take_iterators(&mut self) -> Vec<Link> {
        self.links.extract_if(.., |link| matches!(link.hook, Hook::Iter(_))).collect()
    }

    /// Events lost so far: no room in the ring buffer or in a map.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn lost(&self) -> io::Result<u64> {
        let missed = self.missed + self.links.iter().map(Link::missed).sum::<u64>();
        let Some(drops) = self.object.map("DROPS") else { return Ok(missed) };
        Ok(missed + drops.counters(&0u32.to_ne_bytes())?.map_or(0, |counters| counters.iter().sum()))
    }

    /// Says what was lost since it was last said.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn report_lost(&mut self) -> io::Result<u64> {
        let lost = self.lost()?;
        if lost > self.lost_said && !self.common.quiet {
            eprintln!(
                "tracer: lost {} events: a larger --buffer or a narrower filter may help",
                lost - self.lost_said
            );
        }
        self.lost_said = lost;
        Ok(lost)
    }

    /// Once a second, says what was lost.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn check_lost(&mut self) -> io::Result<()> {
        #[cfg(feature = "debug-log")]
        self.debug_log.iter_mut().for_each(super::debug_log::DebugLog::forward);
        if self.lost_checked.elapsed() >= Duration::from_secs(1) {
            self.lost_checked = Instant::now();
            self.report_lost()?;
        }
        Ok(())
    }

    /// The run's end: what was lost, and the exit code. A command that still runs is waited for.
    ///
    /// # Errors
    /// [`Failure::Lost`] under `--strict`, and [`Failure::Expectation`].
    pub fn finish(mut self, stop: Stop) -> anyhow::Result<u8> {
        self.detach();
        let lost = self.report_lost()?;
        let verdict = self.judge.as_ref().map_or(Ok(()), |judge| judge.verdict());
        let code = match stop {
            Stop::Command(code) => code,
            // What a command's end would be now is tracer's doing.
            Stop::Done if self.is_broken() && self.outlived.is_none() => {
                signals::tell_command(libc::SIGTERM);
                child::end().map_or(0, |_| 0)
            }
            Stop::Done => self.outlived.map(Ok).or_else(child::end).unwrap_or(Ok(0))?,
        };
        match code {
            code if code != 0 => {
                if let Err(failure) = verdict {
                    eprintln!("tracer: {failure}");
                }
                Ok(code)
            }
            _ if self.is_broken() => Ok(verdict.map(|()| 0)?),
            // What no row was seen to be may have been lost.
            _ if self.common.strict && lost > 0 => Err(Failure::Lost(lost).into()),
            _ => Ok(verdict.map(|()| 0)?),
        }
    }

    /// Whether there was a row that is forbidden.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.judge.as_ref().is_some_and(|judge| judge.is_broken())
    }
}

/// Where rows go. With a command, stdout is the command's own.
fn open_sink(common: &Common) -> anyhow::Result<Sink> {
    Ok(match common.view.output.as_deref() {
        Some(path) => Sink::open(path, &STOP).with_context(|| format!("--output {}", path.display()))?,
        None if common.command.is_empty() => Sink::stdout(&STOP)?,
        None => Sink::stderr(&STOP)?,
    })
}

/// Turns what a write met into the run's end: a closed pipe is a quiet one.
///
/// # Errors
/// If writing failed for another reason.
pub fn written(result: Result<(), WriteError>) -> anyhow::Result<Option<Stop>> {
    match result {
        Ok(()) => Ok(None),
        Err(WriteError::Closed | WriteError::Stopped) => Ok(Some(Stop::Done)),
        Err(error) => Err(anyhow::Error::new(error).context("writing the output failed")),
    }
}

async fn wait_for(sleep: Option<&mut std::pin::Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

async fn command_end(child: Option<&mut Running>) -> Result<u8, Failure> {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}

fn apply_plan(object: &mut Object, plan: &Plan, common: &Common) -> anyhow::Result<()> {
    for (name, value) in &plan.globals {
        object.set(name, value)?;
    }
    for (map, entries) in &plan.entries {
        object.set_entries(map, *entries);
    }
    let size = ring_size(common.buffer).context("--buffer")?;
    object.set_entries("EVENTS", size);
    if plan.stacks {
        object.set_entries("STACKS", size);
    }
    object.set("TIME_SHOWN", &u32::from(common.view.shows_time()).to_ne_bytes())?;
    if common.view.asks_for_origin() {
        object.set("CGROUP_SHOWN", &1u32.to_ne_bytes())?;
        object.set_entries("CGROUPS", origin::ROOM);
    }
    object.set("WAKE_BYTES", &WAKE_BYTES.min(u64::from(size) / 4).to_ne_bytes())?;
    Ok(())
}

fn fill_sets(object: &Linked, plan: &Plan) -> io::Result<()> {
    for (name, keys) in &plan.sets {
        if let Some(map) = object.map(name) {
            keys.iter().try_for_each(|key| map.insert(key, &[1]))?;
        }
    }
    Ok(())
}

/// Loads one alternative of each point, then attaches all.
fn attach(kernel: &Kernel, object: &Linked, plan: &Plan, verbose: u8) -> anyhow::Result<Vec<Link>> {
    let mut chosen = Vec::new();
    for point in &plan.required {
        chosen.push((choose(kernel, object, point, verbose)?, *point));
    }
    for point in &plan.optional {
        if let Ok(loaded) = choose(kernel, object, point, verbose) {
            chosen.push((loaded, *point));
        }
    }
    let mut links = Vec::new();
    for ((index, loaded), point) in chosen {
        match attach_all(kernel, loaded) {
            Ok(attached) => links.extend(attached),
            // A function may turn out to be missing only now: the alternatives after it are left.
            Err(error) => {
                let rest = &point[index + 1..];
                let (_, loaded) = choose_from(kernel, object, rest, verbose, vec![error])?;
                links.extend(attach_all(kernel, loaded).map_err(|error| unsupported(&[error]))?);
            }
        }
    }
    if verbose > 0 {
        for UserFunction { name, file, offset } in &kernel.user_functions {
            eprintln!("tracer: {name} is at {offset:#x} in {}", file.display());
        }
        let names: Vec<String> = links.iter().map(|link| link.hook.to_string()).collect();
        eprintln!("tracer: attached {}", names.join(", "));
    }
    Ok(links)
}

fn attach_all(kernel: &Kernel, loaded: Vec<Loaded>) -> Result<Vec<Link>, HookError> {
    loaded.into_iter().map(|program| program.attach(kernel)).collect()
}

fn choose(
    kernel: &Kernel,
    object: &Linked,
    point: Point,
    verbose: u8,
) -> anyhow::Result<(usize, Vec<Loaded>)> {
    choose_from(kernel, object, point, verbose, Vec::new())
}

/// Loads the first alternative that this kernel takes, and says which it was.
fn choose_from(
    kernel: &Kernel,
    object: &Linked,
    alternatives: &[&[Hook]],
    verbose: u8,
    mut refused: Vec<HookError>,
) -> anyhow::Result<(usize, Vec<Loaded>)> {
    for (index, hooks) in alternatives.iter().enumerate() {
        match hooks.iter().map(|&hook| kernel.load(hook, object)).collect() {
            Ok(loaded) => return Ok((index, loaded)),
            Err(error) => {
                if let Some(log) = error.verifier_log() {
                    say_log(log, verbose);
                }
                refused.push(error);
            }
        }
    }
    Err(unsupported(&refused))
}

/// The verifier's log says most at its end.
fn say_log(log: &str, verbose: u8) {
    let lines: Vec<&str> = log.lines().collect();
    let shown = match verbose {
        0 => 0,
        1 => 15,
        _ => lines.len(),
    };
    lines[lines.len().saturating_sub(shown)..].iter().for_each(|line| eprintln!("{line}"));
}

fn unsupported(reasons: &[HookError]) -> anyhow::Error {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    Failure::Unsupported(reasons.join("; ")).into()
}

/// Iterators take a snapshot: each runs once, when all else is attached, and whenever a tool asks for it.
///
/// # Errors
/// If the kernel refuses.
pub fn run_iterators(links: &[Link]) -> anyhow::Result<()> {
    for link in links.iter().filter(|link| matches!(link.hook, Hook::Iter(_))) {
        link.iterate().with_context(|| format!("{} failed", link.hook))?;
    }
    Ok(())
}

/// The first alternative of a point that this kernel seems to have.
///
/// # Errors
/// With all reasons why there is none.
pub fn available(kernel: &Kernel, point: Point) -> Result<&'static [Hook], Vec<HookError>> {
    let mut reasons = Vec::new();
    for hooks in point {
        match hooks.iter().try_for_each(|hook| kernel.check(hook)) {
            Ok(()) => return Ok(hooks),
            Err(error) => reasons.push(error),
        }
    }
    Err(reasons)
}

fn dry_run(kernel: &Kernel, plan: &Plan, object: &Object, verbose: u8) -> anyhow::Result<()> {
    for point in &plan.required {
        let hooks = available(kernel, point).map_err(|reasons| unsupported(&reasons))?;
        hooks.iter().for_each(|hook| eprintln!("would attach {hook}"));
    }
    for hooks in plan.optional.iter().filter_map(|point| available(kernel, point).ok()) {
        hooks.iter().for_each(|hook| eprintln!("would attach {hook}"));
    }
    // What a tool can't do without is looked for before; of these, another serves, or nothing needs to.
    if verbose > 0 {
        let is_absent = |symbol: &&Symbol| kernel.resolve(&symbol.query, symbol.size).is_none();
        for symbol in object.symbols().iter().filter(is_absent) {
            eprintln!("not in this kernel: {}", symbol.name);
        }
    }
    Ok(())
}

/// How often loops look for what came without a wake-up: an event is on stdout within 50 ms.
pub const LOOK: Duration = Duration::from_millis(25);
