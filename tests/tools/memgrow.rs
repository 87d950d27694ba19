//! memgrow: who makes memory grow.

use std::{arch::global_asm, ffi::c_void, fs, ptr};

use crate::{
    harness::{
        Context, Gate, Load, Result, STACKS_ARE_CUT, Scratch, Suite, Test, Tool, Value, Workload, ensure,
        equal, json,
        load::{count, this_program},
        rows, tracer,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "memgrow",
    standard: Some(Standard {
        tool: "memgrow",
        shape: Shape::Stack,
        args: &[],
        keys: &["pid", "tid", "comm", "user_stack", "kernel_stack", "count", "growth_bytes"],
        table: &[],
        load: &["touches", "997"],
        // Some kernels count by 64 pages.
        events: Events::AtLeast(997 / 64),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("tells_who_touches_memory", tells_who_touches_memory),
        Test::new("sees_a_program_from_its_start", sees_a_program_from_its_start),
        Test::new("tells_who_maps_memory", tells_who_maps_memory),
        Test::new("tells_once_whose_stacks_are_cut", tells_once_whose_stacks_are_cut),
    ],
    workloads: &[Workload::new("touches", touches)],
};

const PAGE: usize = 4096;

// Functions that touch a byte of each of so many pages, and keep frame pointers however the rest is compiled.
global_asm!(
    ".macro touch name",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    "push rbp",
    "mov rbp, rsp",
    "2: mov byte ptr [rdi], 1",
    "add rdi, 4096",
    "dec rsi",
    "jnz 2b",
    "pop rbp",
    "ret",
    ".size \\name, . - \\name",
    ".endm",
    "touch touch_first",
    "touch touch_again",
);

unsafe extern "C" {
    fn touch_first(memory: *mut c_void, pages: usize);
    fn touch_again(memory: *mut c_void, pages: usize);
}

/// Touches so many new pages, and then the same ones again.
fn touches(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let pages = count(args)? as usize;
    gate.wait(&json!({}))?;
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, of as many pages, which nobody else uses; of small pages only.
    unsafe {
        let memory = libc::mmap(ptr::null_mut(), pages * PAGE, prot, flags, -1, 0);
        ensure!(memory != libc::MAP_FAILED, "no memory");
        libc::madvise(memory, pages * PAGE, libc::MADV_NOHUGEPAGE);
        touch_first(memory, pages);
        touch_again(memory, pages);
    }
    Ok(json!({}))
}

/// Bytes that a function of ours is told to have added.
fn growth(rows: &[Value], function: &str) -> u64 {
    let is_its = |row: &&Value| {
        row["user_stack"].as_array().and_then(|stack| stack.last()).is_some_and(|last| last == function)
    };
    rows::sum(&rows.iter().filter(is_its).cloned().collect::<Vec<_>>(), "growth_bytes")
}

/// Until 6.1, threads told the kernel of their pages 64 at a time.
const SLACK: u64 = 2 * 64 * PAGE as u64;

fn is_about(grown: u64, pages: u64) -> Result<()> {
    let expected = pages * PAGE as u64;
    ensure!(grown.abs_diff(expected) <= SLACK, "{expected} bytes were expected, not {grown}");
    Ok(())
}

fn tells_who_touches_memory() -> Result<()> {
    let mut load = Load::start(&["touches", "4001"])?;
    let tool = Tool::json("memgrow", &["-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    is_about(growth(&rows, "touch_first"), 4001)?;
    is_about(growth(&rows, "touch_again"), 0)
}

fn sees_a_program_from_its_start() -> Result<()> {
    let (scratch, program) = (Scratch::new()?, this_program()?);
    let file = scratch.file("rows");
    let words =
        ["memgrow", "--json", "-o", &file, "--", &program.to_string_lossy(), "workload", "touches", "2003"];
    tracer(&words).output()?.ok()?;
    let rows = rows::parse(&fs::read_to_string(file)?)?;
    // What a program's start touches comes with the first 64 faults, each of which may map 16 pages of a file.
    let (grown, expected) = (growth(&rows, "touch_first"), 2003 * PAGE as u64);
    ensure!(
        (expected - SLACK..=expected + 1024 * PAGE as u64).contains(&grown),
        "{expected} bytes, not {grown}"
    );
    Ok(())
}

fn tells_who_maps_memory() -> Result<()> {
    let mut load = Load::start(&["touches", "4001"])?;
    let tool = Tool::json("memgrow", &["--mapped", "-p", &load.pid()])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let sizes: Vec<u64> = rows.iter().map(|row| rows::number(row, "growth_bytes")).collect();
    equal("mappings of that size", sizes.iter().filter(|&&size| size == 4001 * PAGE as u64).count(), 1)
}

/// The program of the tests keeps no frame pointers in its own functions.
fn tells_once_whose_stacks_are_cut() -> Result<()> {
    for (args, told) in [(&[][..], 1), (&["--quiet"][..], 0)] {
        let mut load = Load::start(&["touches", "997"])?;
        let tool = Tool::json("memgrow", &[args, &["-p", &load.pid(), "0.01"]].concat())?;
        load.finish()?;
        let output = tool.interrupt()?.ok()?;
        let name = this_program()?.file_name().context("no name")?.to_string_lossy().into_owned();
        let expected = format!("{STACKS_ARE_CUT}{name}\n").repeat(told);
        equal("stderr", &output.stderr, &expected)?;
    }
    Ok(())
}
