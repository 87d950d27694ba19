//! memleak: memory that is allocated and not freed.

use std::{arch::global_asm, ffi::c_void, fs, path::Path, ptr, sync::mpsc, thread};

use crate::{
    harness::{
        Gate, Load, Result, Scratch, Suite, Test, Tool, Value, Workload, ensure, equal, json,
        load::{count, this_program},
        rows,
        shapes::Shapes,
        sys, tracer,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "memleak",
    standard: Some(Standard {
        tool: "memleak",
        shape: Shape::Stack,
        args: &["--top", "0", "--min-size", "101", "--max-size", "101"],
        keys: &[
            "pid",
            "tid",
            "comm",
            "user_stack",
            "kernel_stack",
            "count",
            "size_bytes",
            "oldest_s",
            "newest_s",
        ],
        table: &[],
        load: &["leaks", "23"],
        events: Events::AtLeast(23),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("tells_what_is_not_freed", tells_what_is_not_freed),
        Test::new("knows_all_functions", knows_all_functions),
        Test::new("knows_functions_however_they_are_built", knows_functions_however_they_are_built),
        Test::new("misses_no_free_of_many_threads", misses_no_free_of_many_threads),
        Test::new("forgets_what_was_before_an_exec", forgets_what_was_before_an_exec),
        Test::new("looks_at_the_sizes_asked_for", looks_at_the_sizes_asked_for),
        Test::new("shows_old_memory_only", shows_old_memory_only),
        Test::new("tells_what_the_kernel_keeps", tells_what_the_kernel_keeps),
        Test::new("says_who_has_no_allocator", says_who_has_no_allocator),
    ],
    workloads: &[
        Workload::new("leaks", leaks),
        Workload::new("allocations", allocations),
        Workload::new("alloc-threads", alloc_threads),
        Workload::new("alloc-exec", alloc_exec),
        Workload::new("eventfds", eventfds),
    ],
};

// Functions that call an allocator, and keep frame pointers however the rest is compiled.
global_asm!(
    ".macro calls name, function",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    "push rbp",
    "mov rbp, rsp",
    "call \\function",
    "pop rbp",
    "ret",
    ".size \\name, . - \\name",
    ".endm",
    "calls keep_malloc, malloc",
    "calls drop_malloc, malloc",
    "calls keep_calloc, calloc",
    "calls keep_realloc, realloc",
    "calls keep_aligned, posix_memalign",
    "calls keep_memalign, aligned_alloc",
    "calls keep_mapping, mmap",
);

unsafe extern "C" {
    fn keep_malloc(size: usize) -> *mut c_void;
    fn drop_malloc(size: usize) -> *mut c_void;
    fn keep_calloc(count: usize, size: usize) -> *mut c_void;
    fn keep_realloc(memory: *mut c_void, size: usize) -> *mut c_void;
    fn keep_aligned(result: *mut *mut c_void, align: usize, size: usize) -> i32;
    fn keep_memalign(align: usize, size: usize) -> *mut c_void;
    fn keep_mapping(
        address: *mut c_void,
        size: usize,
        prot: i32,
        flags: i32,
        fd: i32,
        at: i64,
    ) -> *mut c_void;
}

/// Allocates and frees; whether there was memory.
fn allocate_and_free(times: u64) -> bool {
    (0..times).all(|_| {
        // SAFETY: memory is freed once.
        unsafe {
            let memory = drop_malloc(101);
            libc::free(memory);
            !memory.is_null()
        }
    })
}

/// Keeps some memory, and frees five times as much.
fn leaks(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    gate.wait(&json!({}))?;
    for _ in 0..times {
        // SAFETY: any size may be asked for.
        ensure!(!unsafe { keep_malloc(101) }.is_null() && allocate_and_free(5), "no memory");
    }
    Ok(json!({}))
}

/// Count and bytes of what a function of ours has allocated; none if there is nothing.
fn of(rows: &[Value], function: &str) -> Option<(u64, u64)> {
    let is_its = |row: &&Value| {
        row["user_stack"].as_array().and_then(|stack| stack.last()).is_some_and(|last| last == function)
    };
    let rows: Vec<Value> = rows.iter().filter(is_its).cloned().collect();
    (!rows.is_empty()).then(|| (rows::sum(&rows, "count"), rows::sum(&rows, "size_bytes")))
}

fn after(load: &mut Load, args: &[&str]) -> Result<Vec<Value>> {
    let pid = load.pid();
    let tool = Tool::json("memleak", &[&["--top", "0", "-p", &pid], args].concat())?;
    load.finish()?;
    tool.interrupt()?.ok()?.rows()
}

fn tells_what_is_not_freed() -> Result<()> {
    let rows = after(&mut Load::start(&["leaks", "97"])?, &[])?;
    equal("kept", of(&rows, "keep_malloc"), Some((97, 97 * 101)))?;
    equal("freed", of(&rows, "drop_malloc"), None)
}

/// What each function gives is kept, changed, and partly given back.
fn allocations(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let page = 4096;
    // SAFETY: memory is used by nobody else, and is not used after it was freed.
    unsafe {
        ensure!(!keep_calloc(7, 11).is_null(), "calloc");
        // Only its last size counts; and one that is too large changes nothing.
        let memory = (1..=5).fold(ptr::null_mut(), |memory, times| keep_realloc(memory, times * 1001));
        ensure!(!memory.is_null() && keep_realloc(memory, usize::MAX >> 1).is_null(), "realloc");
        libc::free(keep_realloc(ptr::null_mut(), 17));
        let mut aligned = ptr::null_mut();
        equal("posix_memalign", keep_aligned(&raw mut aligned, 64, 131), 0)?;
        // An alignment must be a power of two.
        ensure!(keep_aligned(&raw mut aligned, 3, 131) != 0, "posix_memalign of 3");
        ensure!(!keep_memalign(64, 320).is_null(), "aligned_alloc");
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mapped = keep_mapping(ptr::null_mut(), 8 * page, libc::PROT_READ, flags, -1, 0);
        ensure!(mapped != libc::MAP_FAILED && libc::munmap(mapped, 3 * page) == 0, "mmap");
        ensure!(
            keep_mapping(ptr::null_mut(), 0, libc::PROT_READ, flags, -1, 0) == libc::MAP_FAILED,
            "mmap of 0"
        );
    }
    Ok(json!({}))
}

fn knows_all_functions() -> Result<()> {
    let rows = after(&mut Load::start(&["allocations"])?, &[])?;
    for (function, expected) in [
        ("keep_calloc", (1, 77)),
        ("keep_realloc", (1, 5005)),
        ("keep_aligned", (1, 131)),
        ("keep_memalign", (1, 320)),
        ("keep_mapping", (1, 5 * 4096)),
    ] {
        equal(function, of(&rows, function), Some(expected))?;
    }
    Ok(())
}

fn knows_functions_however_they_are_built() -> Result<()> {
    let mut shapes = Shapes::start("keep", 7)?;
    let tool = Tool::json("memleak", &["--top", "0", "-p", &shapes.pids()])?;
    let accounts = shapes.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("bytes", shapes.seen(&rows, "size_bytes")?, accounts)
}

/// Threads allocate, and each frees what another one has allocated, but for the first of each.
fn alloc_threads(gate: &mut Gate, args: &[String]) -> Result<Value> {
    const THREADS: usize = 4;
    let times = count(args)?;
    gate.wait(&json!({}))?;
    let (sends, receives): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::sync_channel::<usize>(8)).unzip();
    let threads: Vec<_> = receives
        .into_iter()
        .enumerate()
        .map(|(index, from)| {
            let to = sends[(index + 1) % THREADS].clone();
            thread::spawn(move || {
                // SAFETY: any size may be asked for.
                let is_kept = !unsafe { keep_malloc(101) }.is_null();
                let mut sent = true;
                for _ in 0..times {
                    // SAFETY: as above; and what comes was sent once.
                    unsafe {
                        sent &= to.send(drop_malloc(101) as usize).is_ok();
                        from.recv().map(|memory| libc::free(memory as *mut c_void)).unwrap_or_default();
                    }
                }
                is_kept && sent
            })
        })
        .collect();
    drop(sends);
    for thread in threads {
        ensure!(thread.join().is_ok_and(|went_well| went_well), "a thread failed");
    }
    Ok(json!({}))
}

fn misses_no_free_of_many_threads() -> Result<()> {
    let rows = after(&mut Load::start(&["alloc-threads", "499"])?, &[])?;
    equal("kept", of(&rows, "keep_malloc"), Some((4, 4 * 101)))?;
    equal("freed by others", of(&rows, "drop_malloc"), None)
}

/// Keeps memory, and becomes a program that keeps other.
fn alloc_exec(gate: &mut Gate, args: &[String]) -> Result<Value> {
    use std::os::unix::process::CommandExt;
    gate.wait(&json!({}))?;
    // SAFETY: any size may be asked for.
    ensure!(!unsafe { keep_malloc(103) }.is_null(), "no memory");
    let program = this_program()?;
    Err(std::process::Command::new(program).args(args).exec().into())
}

fn forgets_what_was_before_an_exec() -> Result<()> {
    let (scratch, program) = (Scratch::new()?, this_program()?);
    let file = scratch.file("rows");
    let program = program.to_string_lossy();
    let tool =
        ["memleak", "--json", "-o", &file, "--top", "0", "--min-size", "101", "--max-size", "103", "--"];
    let command = [&*program, "workload", "alloc-exec", "workload", "leaks", "7"];
    tracer(&[&tool[..], &command].concat()).output()?.ok()?;
    let rows = rows::parse(&fs::read_to_string(file)?)?;
    // Not by name: its end may come before tracer has seen which files it has.
    equal("kept", rows::sum(&rows, "size_bytes"), 7 * 101)
}

fn looks_at_the_sizes_asked_for() -> Result<()> {
    let rows = after(&mut Load::start(&["leaks", "7"])?, &["--min-size", "102"])?;
    equal("larger", of(&rows, "keep_malloc"), None)?;
    let rows = after(&mut Load::start(&["leaks", "7"])?, &["--max-size", "101"])?;
    equal("no larger", of(&rows, "keep_malloc"), Some((7, 707)))
}

fn shows_old_memory_only() -> Result<()> {
    let rows = after(&mut Load::start(&["leaks", "7"])?, &["--older", "1h"])?;
    equal("rows", rows.len(), 0)
}

/// Has the kernel keep so many objects of a kind, and as many of which it keeps none.
fn eventfds(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let times = count(args)?;
    gate.wait(&json!({}))?;
    let open = || sys::own(sys::call(libc::SYS_eventfd2, &[0, 0]));
    let kept = (0..times).map(|_| open()).collect::<std::io::Result<Vec<_>>>()?;
    for _ in 0..times {
        drop(open()?);
    }
    // The test looks while they are open.
    gate.wait(&json!({ "kept": kept.len() }))?;
    Ok(json!({}))
}

fn tells_what_the_kernel_keeps() -> Result<()> {
    let mut load = Load::start(&["eventfds", "53"])?;
    let tool = Tool::json("memleak", &["-k", "--top", "0", "--older", "1us", "-p", &load.pid()])?;
    load.go()?;
    equal("kept", load.line()?, json!({ "kept": 53 }))?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    load.finish()?;
    let is_its = |row: &&Value| {
        row["kernel_stack"].as_array().is_some_and(|stack| stack.contains(&"do_eventfd".into()))
    };
    let counts: Vec<u64> = rows.iter().filter(is_its).map(|row| rows::number(row, "count")).collect();
    ensure!(counts.contains(&53), "53 objects of a kind were expected, not {counts:?}: {rows:?}");
    Ok(())
}

fn says_who_has_no_allocator() -> Result<()> {
    let file = Path::new("/proc/self/maps");
    let failed = tracer(&["memleak", "--lib", &file.to_string_lossy()]).output()?;
    let line = failed.fails(1)?;
    ensure!(
        line.contains("--lib /proc/self/maps: no 64-bit program or library with malloc and free"),
        "{line}"
    );
    Ok(())
}
