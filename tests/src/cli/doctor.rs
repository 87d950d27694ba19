//! `tracer doctor`: what is missing, and how to get it.

use std::fs;

use super::as_nobody;
use crate::harness::{
    Context, Output, Result, Scratch, Suite, Test, Value, ensure, tool::Run, tracefs, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::doctor",
    standard: None,
    tests: &[Test::new("every_gap_has_a_remedy", every_gap_has_a_remedy)],
    workloads: &[],
};

const MAP_CREATE: u32 = 0;

fn every_gap_has_a_remedy() -> Result<()> {
    let doctor = || tracer(&["doctor", "--json"]);
    // Settings of the kernel that tracing suffers from.
    let scratch = Scratch::new()?;
    let setting = |folder: &str, name: &str, value: &str| -> Result<Run> {
        let own = scratch.file(folder);
        fs::create_dir_all(&own)?;
        fs::write(format!("{own}/{name}"), value)?;
        Ok(doctor().with(&own, &format!("/proc/sys/{folder}")))
    };
    let gaps = [
        ("BTF", doctor().without("/sys/kernel/btf"), "--btf FILE"),
        ("tracefs", doctor().without(tracefs::ROOT).without("/sys/kernel/debug"), "mount -t tracefs"),
        ("ring buffer", doctor().forbid(libc::SYS_bpf, Some(MAP_CREATE)), "seccomp"),
        ("kprobes", doctor().without("/sys/bus/event_source/devices"), "CONFIG_KPROBES"),
        ("uprobes", doctor().without("/sys/bus/event_source/devices"), "CONFIG_UPROBES"),
        ("BPF JIT", setting("net/core", "bpf_jit_enable", "0\n")?, "sysctl net.core.bpf_jit_enable=1"),
        ("kernel symbols", setting("kernel", "kptr_restrict", "2\n")?, "sysctl kernel.kptr_restrict=1"),
    ];
    for (name, run, remedy) in gaps {
        has_remedy(&run.output()?.ok()?, name, remedy).with_context(|| name.to_owned())?;
    }
    has_remedy(&as_nobody(&["doctor", "--json"])?.ok()?, "privileges", "sudo")
}

fn has_remedy(output: &Output, name: &str, remedy: &str) -> Result<()> {
    let report: Value = serde_json::from_str(output.text()?)?;
    let checks = report["checks"].as_array().context("no checks")?;
    for check in checks {
        let is_told = check["remedy"].is_string() && check["detail"] != "";
        ensure!(check["ok"] == true || is_told, "no word on what to do: {check}");
    }
    let check = checks.iter().find(|check| check["name"] == name).context("it is not there")?;
    ensure!(check["ok"] == false, "it is no gap: {check}");
    let told = check["remedy"].as_str().unwrap_or_default();
    ensure!(told.contains(remedy), "no {remedy:?}: {check}");
    Ok(())
}
