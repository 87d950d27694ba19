//! cpudist: how long threads have a CPU at a time, or are without one.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::runqlat::{ROUNDS, expect_switches, ping_pong_beside};
use crate::{
    harness::{
        Gate, Load, Result, Suite, Test, Tool, Value, Workload, ensure, equal, json, load::Switches, rows,
        sys,
    },
    standard::{Events, Shape, Standard, nothing},
};

pub const SUITE: Suite = Suite {
    name: "cpudist",
    standard: Some(Standard {
        tool: "cpudist",
        shape: Shape::Dist,
        args: &["--by-process"],
        keys: &["pid", "comm", "unit", "count", "p50", "p90", "p99", "max", "buckets"],
        table: &[],
        load: &["ping-pong"],
        // The partner may answer before the process has gone to sleep, but seldom.
        events: Events::AtLeast(ROUNDS / 10),
        of_children: false,
        needs: nothing,
    }),
    tests: &[
        Test::new("counts_every_stint", counts_every_stint),
        Test::new("counts_every_absence", counts_every_absence),
        Test::new("agrees_with_the_cpu_clock", agrees_with_the_cpu_clock),
        Test::new("tells_how_long_threads_sleep", tells_how_long_threads_sleep),
        Test::new("names_a_process_as_it_ends_its_stint", names_a_process_as_it_ends_its_stint),
        Test::new("leaves_idle_threads_out", leaves_idle_threads_out),
    ],
    workloads: &[Workload::new("naps", naps)],
};

fn counts_every_stint() -> Result<()> {
    let (rows, switches, pid) = ping_pong_beside("cpudist", &["--by-thread"])?;
    equal("rows", rows.len(), 1)?;
    equal("tid", &rows[0]["tid"], pid)?;
    equal("unit", rows::text(&rows[0], "unit"), "us")?;
    expect_switches(&rows, switches)
}

fn counts_every_absence() -> Result<()> {
    let (rows, switches, pid) = ping_pong_beside("cpudist", &["-O", "-m", "--by-process"])?;
    equal("rows", rows.len(), 1)?;
    equal("pid", &rows[0]["pid"], pid)?;
    equal("unit", rows::text(&rows[0], "unit"), "ms")?;
    expect_switches(&rows, switches)
}

const NAPS: u64 = 23;
/// Much longer than the work between two naps. Both are in the middle of what a histogram counts together.
const NAP: Duration = Duration::from_micros(6000);
const WORK: Duration = Duration::from_micros(1500);

/// The time that this thread had a CPU.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = sys::call(
        libc::SYS_clock_gettime,
        &[libc::CLOCK_THREAD_CPUTIME_ID as usize, (&raw mut time) as usize],
    );
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Works and sleeps in turn, and says how long the work took of the CPU's time, and all of the clock's, and how
/// often it was switched out.
fn naps(gate: &mut Gate, _: &[String]) -> Result<Value> {
    gate.wait(&json!({}))?;
    let (start, before, switches) = (Instant::now(), cpu_time(), Switches::of_thread()?);
    for _ in 0..NAPS {
        let until = cpu_time() + WORK;
        while cpu_time() < until {}
        thread::sleep(NAP);
    }
    let (wall, cpu) = (start.elapsed(), cpu_time() - before);
    let switches = Switches::of_thread()? - switches;
    Ok(json!({
        "cpu_us": cpu.as_micros() as u64,
        "wall_us": wall.as_micros() as u64,
        "naps": switches.voluntary,
        "preemptions": switches.involuntary,
    }))
}

/// The least and the most that the values of a run's one histogram can come to, how many are as long
/// as a nap, and the workload's account.
fn nap_sums(args: &[&str]) -> Result<(u64, u64, u64, Value)> {
    let mut load = Load::start(&["naps"])?;
    let tool = Tool::json("cpudist", &[args, &["-p", &load.pid()]].concat())?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("rows", rows.len(), 1)?;
    rows::is_histogram(&rows[0])?;
    let buckets = rows[0]["buckets"].as_array().cloned().unwrap_or_default();
    let sum = |value: fn(&Value) -> u64| {
        buckets.iter().map(|bucket| value(bucket) * rows::number(bucket, "count")).sum::<u64>()
    };
    let least = sum(|bucket| rows::number(bucket, "from"));
    let most = sum(|bucket| rows::number(bucket, "to") + 1);
    let long = sum(|bucket| u64::from(rows::number(bucket, "to") >= NAP.as_micros() as u64));
    Ok((least, most, long, account))
}

fn agrees_with_the_cpu_clock() -> Result<()> {
    let (least, most, _, account) = nap_sums(&[])?;
    let cpu = rows::number(&account, "cpu_us");
    // The clock leaves out what interrupts and other machines took; and the process tells its account.
    let is_right = most >= cpu && least <= cpu * 2;
    ensure!(is_right, "the thread worked for {cpu} us, the tool says {least} to {most}");
    Ok(())
}

fn tells_how_long_threads_sleep() -> Result<()> {
    let (least, most, long, account) = nap_sums(&["--off-cpu"])?;
    let wall = rows::number(&account, "wall_us");
    let (naps, preemptions) = (rows::number(&account, "naps"), rows::number(&account, "preemptions"));
    let slept = naps * NAP.as_micros() as u64;
    let is_right = most >= slept && least <= wall;
    ensure!(is_right, "the thread slept for {slept} to {wall} us, the tool says {least} to {most}");
    // A sleep is short if the machine had no processor as it began.
    let is_right = (naps / 2..=naps + preemptions).contains(&long);
    ensure!(is_right, "the thread took {naps} naps, the tool saw {long}, some in {preemptions} preemptions");
    Ok(())
}

/// A process that executes a program goes on with its stint by the program's name.
fn names_a_process_as_it_ends_its_stint() -> Result<()> {
    const PROCESSES: u64 = 7;
    let script = "/bin/true; ".repeat(PROCESSES as usize);
    let words = ["cpudist", "--json", "-P", "-n", "true", "-o", "-", "--", "sh", "-c", &script];
    let rows = crate::harness::tracer(&words).output()?.ok()?.rows()?;
    equal("processes", rows::with(&rows, "comm", &"true".into()).len() as u64, PROCESSES)?;
    equal("rows", rows.len() as u64, PROCESSES)
}

/// The time that all CPUs were idle, in hundredths of a second.
fn idle_time() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().unwrap_or_default();
    Ok(all.split_whitespace().skip(4).take(2).flat_map(str::parse::<u64>).sum())
}

fn leaves_idle_threads_out() -> Result<()> {
    for (args, wanted) in [(&["-I"][..], true), (&[][..], false)] {
        let tool = Tool::json("cpudist", &[args, &["-P"]].concat())?;
        let before = idle_time()?;
        thread::sleep(Duration::from_millis(100));
        let was_idle = idle_time()? > before + 1;
        let rows = tool.interrupt()?.ok()?.rows()?;
        let idle = rows::of_pid(&rows, 0);
        ensure!(wanted || idle.is_empty(), "a row of an idle thread: {}", idle[0]);
        ensure!(!wanted || !was_idle || !idle.is_empty(), "no row of an idle thread");
    }
    Ok(())
}
