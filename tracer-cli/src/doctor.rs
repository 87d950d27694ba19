//! `tracer doctor`: what this kernel and these privileges allow, and which tools run here.

use std::{fs, path::Path};

use aya_obj::generated::bpf_map_type;
use serde_json::{Value, json};

use crate::{
    bpf::{
        caps,
        hook::{Kernel, has_kprobes},
        sys,
    },
    cli,
    engine::{
        Plan,
        session::{VMLINUX, available, read_kernel, wanted_names},
    },
    list,
    system::cgroup,
    tools::TOOLS,
};

/// One thing that tools may need.
struct Check {
    name: &'static str,
    ok: bool,
    /// What was found, or what is missing and how to get it.
    detail: String,
}

/// Whether a tool runs here.
struct Verdict {
    name: &'static str,
    /// The hooks it uses, or why it can't run.
    hooks: Result<Vec<String>, String>,
}

/// Prints the report.
///
/// # Errors
/// If stdout can't be written.
pub fn run(as_json: bool) -> anyhow::Result<u8> {
    caps::raise_memlock();
    let mut plans = Vec::new();
    let mut wanted = Vec::new();
    for tool in TOOLS {
        let plan = cli::default_plan(tool)?;
        wanted.extend(wanted_names(&cli::object_of(tool)?, &plan));
        plans.push((tool.about.name, plan));
    }
    let kernel = read_kernel(None, &wanted).unwrap_or_else(|_| Kernel::new(None, false));
    let checks = checks(&kernel);
    let verdicts: Vec<Verdict> =
        plans.iter().map(|(name, plan)| Verdict { name, hooks: verdict(&kernel, plan) }).collect();
    list::print(&if as_json { json_report(&checks, &verdicts) } else { text_report(&checks, &verdicts) })
}

fn checks(kernel: &Kernel) -> Vec<Check> {
    let permitted = caps::check();
    let fentry = kernel.fentry();
    let tracefs = kernel.tracefs.as_ref();
    vec![
        Check { name: "kernel", ok: true, detail: release() },
        Check { name: "privileges", ok: permitted.is_ok(), detail: why(permitted) },
        Check {
            name: "lockdown",
            ok: caps::lockdown().as_deref() != Some("confidentiality"),
            detail: lockdown(),
        },
        memlock(),
        Check::new(
            "BTF",
            kernel.btf.is_some(),
            VMLINUX,
            "a kernel with CONFIG_DEBUG_INFO_BTF, or --btf FILE",
        ),
        Check::new(
            "ring buffer",
            sys::has_map_type(bpf_map_type::BPF_MAP_TYPE_RINGBUF),
            "",
            "Linux 5.8 and root",
        ),
        Check::new(
            "tracefs",
            tracefs.is_some(),
            &tracefs.map(|tracefs| tracefs.root().display().to_string()).unwrap_or_default(),
            "mount -t tracefs nodev /sys/kernel/tracing",
        ),
        Check::new("kprobes", has_kprobes(), "", "a kernel with CONFIG_KPROBES"),
        Check { name: "fentry", ok: fentry.is_ok(), detail: why(fentry) },
        Check::new("uprobes", has_uprobes(), "", "a kernel with CONFIG_UPROBES"),
        Check::new(
            "cgroup v2",
            cgroup::mount_point().is_some(),
            &cgroup::mount_point().map(|path| path.display().to_string()).unwrap_or_default(),
            "mount -t cgroup2 none /sys/fs/cgroup",
        ),
    ]
}

impl Check {
    fn new(name: &'static str, ok: bool, found: &str, needed: &str) -> Self {
        let detail = if ok { found.to_owned() } else { format!("needs {needed}") };
        Self { name, ok, detail }
    }
}

fn why<T>(result: Result<T, impl ToString>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

fn release() -> String {
    let read = |file| fs::read_to_string(Path::new("/proc/sys/kernel").join(file)).unwrap_or_default();
    format!("{} {}", read("osrelease").trim(), std::env::consts::ARCH)
}

fn lockdown() -> String {
    caps::lockdown().unwrap_or_else(|| "not in this kernel".to_owned())
}

fn memlock() -> Check {
    let detail = match caps::memlock() {
        libc::RLIM_INFINITY => "unlimited".to_owned(),
        bytes => format!("{} kB, and may not be raised; matters before Linux 5.11 only", bytes / 1024),
    };
    Check { name: "memlock", ok: true, detail }
}

fn has_uprobes() -> bool {
    Path::new("/sys/bus/event_source/devices/uprobe/type").exists()
}

fn verdict(kernel: &Kernel, plan: &Plan) -> Result<Vec<String>, String> {
    caps::check().map_err(|error| error.to_string())?;
    if kernel.btf.is_none() {
        return Err("needs BTF".to_owned());
    }
    let mut hooks = Vec::new();
    for point in &plan.required {
        let chosen = available(kernel, point)
            .map_err(|reasons| reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        hooks.extend(chosen.iter().map(ToString::to_string));
    }
    for chosen in plan.optional.iter().filter_map(|point| available(kernel, point).ok()) {
        hooks.extend(chosen.iter().map(ToString::to_string));
    }
    Ok(hooks)
}

fn text_report(checks: &[Check], verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for Check { name, ok, detail } in checks {
        text.push_str(&format!("{name:<16}{:<5}{detail}", if *ok { "ok" } else { "no" }));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push('\n');
    for Verdict { name, hooks } in verdicts {
        let (runs, detail) = match hooks {
            Ok(hooks) => ("runs", hooks.join(", ")),
            Err(why) => ("no", why.clone()),
        };
        text.push_str(&format!("{name:<16}{runs:<5}{detail}\n"));
    }
    text
}

fn json_report(checks: &[Check], verdicts: &[Verdict]) -> String {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| json!({"name": check.name, "ok": check.ok, "detail": check.detail}))
        .collect();
    let tools: Vec<Value> = verdicts
        .iter()
        .map(|verdict| match &verdict.hooks {
            Ok(hooks) => json!({"name": verdict.name, "runs": true, "hooks": hooks}),
            Err(why) => json!({"name": verdict.name, "runs": false, "why": why}),
        })
        .collect();
    format!("{}\n", json!({ "checks": checks, "tools": tools }))
}
