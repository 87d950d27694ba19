//! profile: what CPUs do, by samples.

use std::{
    arch::{asm, global_asm},
    ffi::c_void,
    fs::{self, File},
    io::Read,
    path::Path,
    ptr,
};

use crate::{
    harness::{
        Context, Gate, Load, Result, Scratch, Suite, Test, Tool, Value, Workload, by_machine, ensure, equal,
        json, load, picture, rows, shapes::Shapes,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "profile",
    standard: Some(Standard {
        tool: "profile",
        shape: Shape::Stack,
        args: &["--hz", "4999"],
        keys: &["pid", "tid", "comm", "user_stack", "kernel_stack", "count"],
        table: &[],
        load: &["burners", "4"],
        events: Events::AtLeast(20),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("tells_who_burns_how_much", tells_who_burns_how_much),
        Test::new("knows_functions_however_they_are_built", knows_functions_however_they_are_built),
        Test::new("folds_stacks", folds_stacks),
        Test::new("shows_the_kernel_s_functions", shows_the_kernel_s_functions),
        Test::new("draws_flame_graphs", draws_flame_graphs),
        Test::new("draws_what_others_can_show", draws_what_others_can_show),
    ],
    workloads: &[
        Workload::new("burners", burners),
        Workload::new("burners-in-rust", burners_in_rust),
        Workload::new("random-bytes", random_bytes),
    ],
};

// A thread with functions that keep frame pointers, however the rest is compiled: 70 % of its time is
// one's, 30 % another's. The chain of frames ends where the thread starts.
global_asm!(
    ".globl stack_start",
    ".type stack_start, @function",
    "stack_start:",
    "mov rax, rbp",
    "push 0",
    "mov rbp, rsp",
    "push rax",
    "push rbx",
    "mov rbx, rdi",
    "2: call burn_both",
    "dec rbx",
    "jnz 2b",
    "pop rbx",
    "pop rax",
    "add rsp, 8",
    "mov rbp, rax",
    "xor eax, eax",
    "ret",
    ".size stack_start, . - stack_start",
    ".type burn_both, @function",
    "burn_both:",
    "push rbp",
    "mov rbp, rsp",
    "call burn_seventy",
    "call burn_thirty",
    "pop rbp",
    "ret",
    ".size burn_both, . - burn_both",
    ".type burn_seventy, @function",
    "burn_seventy:",
    "push rbp",
    "mov rbp, rsp",
    "mov rcx, 10500000",
    // Jumps across such a border take longer on some processors.
    ".balign 64",
    "2: dec rcx",
    "jnz 2b",
    "pop rbp",
    "ret",
    ".size burn_seventy, . - burn_seventy",
    ".type burn_thirty, @function",
    "burn_thirty:",
    "push rbp",
    "mov rbp, rsp",
    "mov rcx, 4500000",
    // Jumps across such a border take longer on some processors.
    ".balign 64",
    "2: dec rcx",
    "jnz 2b",
    "pop rbp",
    "ret",
    ".size burn_thirty, . - burn_thirty",
);

unsafe extern "C" {
    safe fn stack_start(rounds: *mut c_void) -> *mut c_void;
}

/// Burns time in a thread, in so many rounds.
fn burners(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let rounds = load::count(args)?;
    gate.wait(&json!({}))?;
    let mut thread = 0;
    // SAFETY: all pointers are valid, and the thread is joined.
    let failed = unsafe {
        libc::pthread_create(&raw mut thread, ptr::null(), stack_start, rounds as *mut c_void) != 0
            || libc::pthread_join(thread, ptr::null_mut()) != 0
    };
    ensure!(!failed, "no thread");
    Ok(json!({}))
}

/// The functions that the thread's samples are in, the outermost first.
const BURNERS: [[&str; 4]; 2] = [
    ["start_thread", "stack_start", "burn_both", "burn_seventy"],
    ["start_thread", "stack_start", "burn_both", "burn_thirty"],
];

fn tells_who_burns_how_much() -> Result<()> {
    let mut load = Load::start(&["burners", "23"])?;
    let tool = Tool::json("profile", &["--hz", "4999", "-L", "-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let thread: Vec<_> = rows.iter().filter(|row| row["tid"] != row["pid"]).cloned().collect();
    let counts = BURNERS.map(|stack| rows::sum(&rows::with(&thread, "user_stack", &json!(stack)), "count"));
    let all = rows::sum(&thread, "count");
    let share = counts[0] as f64 / (counts[0] + counts[1]).max(1) as f64;
    ensure!((0.65..=0.75).contains(&share), "70 % were expected, of {counts:?}");
    ensure!(counts[0] + counts[1] >= all * 9 / 10, "of {all} samples {counts:?} are whole: {thread:?}");
    Ok(())
}

/// Jumps across a border of 64 bytes take longer on some processors.
#[inline(always)]
fn turn(turns: u64) {
    // SAFETY: it only counts.
    unsafe { asm!(".balign 64", "2: dec {0}", "jnz 2b", inout(reg) turns => _, options(nomem, nostack)) }
}

#[inline(never)]
fn seventy_in_rust() {
    turn(2_100_000);
}

#[inline(never)]
fn thirty_in_rust() {
    turn(900_000);
}

fn burners_in_rust(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let rounds = load::count(args)?;
    gate.wait(&json!({}))?;
    for _ in 0..rounds {
        seventy_in_rust();
        thirty_in_rust();
    }
    Ok(json!({}))
}

fn knows_functions_however_they_are_built() -> Result<()> {
    let rounds = by_machine(60, 30);
    let mut shapes = Shapes::start("burn", rounds)?;
    let mut rust = Load::start(&["burners-in-rust", &rounds.to_string()])?;
    let pids = format!("{},{}", shapes.pids(), rust.pid());
    let tool = Tool::json("profile", &["--hz", by_machine("9973", "997"), "-p", &pids])?;
    rust.go()?;
    let accounts = shapes.finish()?;
    rust.done()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    shapes.have_shares(&rows, "count", &accounts)?;
    let own = rows::of_pid(&rows, rust.id);
    let samples = ["profile::seventy_in_rust", "profile::thirty_in_rust"].map(|name| {
        let is_its = |row: &&Value| {
            let last = row["user_stack"].as_array().and_then(|stack| stack.last()?.as_str());
            last.is_some_and(|last| last.ends_with(name))
        };
        rows::sum(&own.iter().filter(is_its).cloned().collect::<Vec<_>>(), "count")
    });
    let share = samples[0] as f64 / (samples[0] + samples[1]).max(1) as f64;
    let slack = by_machine(0.05, 0.1);
    ensure!((share - 0.7).abs() <= slack, "70 % were expected, of {samples:?} in Rust: {own:?}");
    let known = shapes.seen(&rows, "count")?.iter().flatten().chain(&samples).sum::<u64>();
    let all = rows::sum(&rows, "count");
    ensure!(known >= all * 9 / 10, "of {all} samples {known} are in the functions that burn: {rows:?}");
    Ok(())
}

fn folds_stacks() -> Result<()> {
    let mut load = Load::plan(&["burners", "4"]).named("a;b 1").start()?;
    let tool = Tool::text("profile", &["--hz", "4999", "--folded", "-U", "-p", &load.pid()])?;
    load.finish()?;
    let output = tool.interrupt()?.ok()?;
    // Rows alone: what else there is to say goes to stderr.
    for line in output.lines()? {
        let weight = line.rsplit_once(' ').map(|(_, weight)| weight.parse::<u64>());
        ensure!(matches!(weight, Some(Ok(1..))), "no folded stack: {line}");
    }
    for stack in BURNERS {
        let start = format!("a:b 1;{} ", stack.join(";"));
        let line = output.lines()?.into_iter().find_map(|line| line.strip_prefix(&start));
        let count = line.with_context(|| format!("no {start}: {:?}", output.text()))?;
        ensure!(count.parse::<u64>()? > 0, "no weight: {count}");
    }
    Ok(())
}

/// Has the kernel make random numbers.
fn random_bytes(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let mut bytes = vec![0; 1 << 20];
    let mut random = File::open("/dev/urandom")?;
    (0..4).try_for_each(|_| random.read_exact(&mut bytes))?;
    Ok(json!({}))
}

fn shows_the_kernel_s_functions() -> Result<()> {
    let mut load = Load::start(&["random-bytes"])?;
    let tool = Tool::json("profile", &["--hz", "4999", "-K", "-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let reads =
        |row: &&Value| row["kernel_stack"].as_array().is_some_and(|stack| stack.contains(&"vfs_read".into()));
    ensure!(rows.iter().filter(reads).count() > 0, "no sample of a read: {rows:?}");
    ensure!(rows.iter().all(|row| row["user_stack"].is_null()), "a stack of user space: {rows:?}");
    Ok(())
}

/// The share of a function in a flame graph, in percent.
fn share_in(svg: &str, function: &str) -> Result<f64> {
    let start = format!("<title>{function} (");
    let (_, rest) = svg.split_once(&start).with_context(|| format!("no {function} in {svg}"))?;
    let (count, _) = rest.split_once('%').context("no share")?;
    Ok(count.rsplit(' ').next().unwrap_or_default().parse()?)
}

/// The tags that are open at the end, or an error where one closes that is not open.
fn well_formed(svg: &str) -> Result<()> {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some((_, tag)) = rest.split_once('<') {
        if let Some(data) = tag.strip_prefix("![CDATA[") {
            rest = data.split_once("]]>").context("CDATA")?.1;
            continue;
        }
        let (tag, after) = tag.split_once('>').context("a tag without an end")?;
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or_default();
        match tag {
            _ if tag.starts_with(['?', '!']) || tag.ends_with('/') => {}
            _ if tag.starts_with('/') => equal("closed", Some(name), open.pop())?,
            _ => open.push(name),
        }
        rest = after;
    }
    ensure!(open.is_empty(), "never closed: {open:?}");
    Ok(())
}

fn draws_flame_graphs() -> Result<()> {
    let scratch = Scratch::new()?;
    let (first, second) = (scratch.file("first.folded"), scratch.file("graph.svg"));
    let run = |args: &[&str]| -> Result<String> {
        let mut load = Load::start(&["burners", "8"])?;
        let tool = Tool::text("profile", &[args, &["--hz", "4999", "-U", "-p", &load.pid()]].concat())?;
        load.finish()?;
        tool.interrupt()?.ok()?;
        Ok(load.pid())
    };
    run(&["--folded", "-o", &first])?;
    let pid = run(&["--flamegraph", &second])?;
    let svg = fs::read_to_string(&second)?;
    well_formed(&svg)?;
    for part in ["<svg", "tracer profile", &format!("pid {pid}; 20"), "samples", "search"] {
        ensure!(svg.contains(part), "no {part:?} in {svg}");
    }
    let share = share_in(&svg, "burn_seventy")?;
    ensure!((60.0..=75.0).contains(&share), "70 % were expected: {share}");
    run(&["--flamegraph", &second, "--diff", &first])?;
    let svg = fs::read_to_string(&second)?;
    let (_, title) = svg.split_once("<title>burn_seventy (").context("no function")?;
    let (title, _) = title.split_once(')').context("no end")?;
    ensure!(title.contains("; ") && title.matches('%').count() == 2, "no difference: {title}");
    Ok(())
}

fn draws_what_others_can_show() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("graph.svg");
    let mut load = Load::start(&["burners", "8"])?;
    let tool = Tool::text("profile", &["--flamegraph", &file, "--hz", "4999", "-U", "-p", &load.pid()])?;
    load.finish()?;
    tool.interrupt()?.ok()?;
    let titles = picture::drawn(&fs::read_to_string(&file)?, Path::new(&file))?;
    for function in BURNERS.as_flattened() {
        let is_there = titles.iter().any(|title| title.starts_with(&format!("{function} (")));
        ensure!(is_there, "no {function} in {titles:?}");
    }
    Ok(())
}
