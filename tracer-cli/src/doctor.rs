//! `tracer doctor`: what this kernel and these privileges allow, and which tools run here.

use std::{fs, path::Path};

use aya_obj::generated::bpf_map_type;
use serde_json::{Value, json};

use crate::{
    bpf::{
        caps,
        hook::{Kernel, has_kprobes},
        sys::{self, MapSpec},
    },
    cli,
    engine::{
        Plan, numbers,
        session::{VMLINUX, available, read_kernel, wanted_names},
    },
    list,
    system::cgroup,
    tools::TOOLS,
};

/// One thing that tools may need.
struct Check {
    name: &'static str,
    /// What was found, or what is missing.
    detail: String,
    /// How to get it, if it is missing.
    remedy: Option<String>,
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
    let tracefs = kernel.tracefs.as_ref().map(|tracefs| tracefs.root().display().to_string());
    let cgroup = cgroup::mount_point().map(|path| path.display().to_string());
    vec![
        Check::found("kernel", release()),
        privileges(),
        lockdown(),
        memlock(),
        Check::new("BTF", kernel.btf.as_ref().map(|_| VMLINUX.to_owned()), "this kernel has none", BTF),
        Check::new("ring buffer", has_ring_buffer().then(String::new), "the kernel refuses one", RING_BUFFER),
        switch(
            "BPF JIT",
            "net.core.bpf_jit_enable",
            "0",
            "programs are interpreted: slow, and without fentry",
        ),
        Check::new("tracefs", tracefs, "not mounted", tracefs_remedy()),
        Check::new("kprobes", has_kprobes().then(String::new), "not in this kernel", KPROBES),
        fentry(kernel),
        Check::new("uprobes", has_uprobes().then(String::new), "not in this kernel", UPROBES),
        switch(
            "kernel symbols",
            "kernel.kptr_restrict",
            "2",
            "stacks have no names of the kernel's functions",
        ),
        Check::new("cgroup v2", cgroup, "not mounted, so --cgroup and --container can't be used", CGROUP),
        Check::found("PID namespace", pid_namespace().to_owned()),
    ]
}

const BTF: &str = "boot a kernel with CONFIG_DEBUG_INFO_BTF, as those of Debian 11, Ubuntu 20.10, RHEL 8.2 and later; \
                   or give --btf FILE, made by pahole --btf_encode_detached=FILE vmlinux (package dwarves) from the kernel's debug package";
const RING_BUFFER: &str = "Linux 5.8 or later, and root; in a container, one that may call bpf(2): --privileged, or --security-opt seccomp=unconfined";
const KPROBES: &str =
    "boot a kernel with CONFIG_KPROBES and CONFIG_KPROBE_EVENTS; only the tools below that say so need them";
const UPROBES: &str = "boot a kernel with CONFIG_UPROBES and CONFIG_UPROBE_EVENTS";
const CGROUP: &str = "mount -t cgroup2 none /sys/fs/cgroup, or beside v1: mkdir -p /sys/fs/cgroup/unified; mount -t cgroup2 none /sys/fs/cgroup/unified";

impl Check {
    /// Of what is found or missing.
    fn new(name: &'static str, found: Option<String>, missing: &str, remedy: &str) -> Self {
        let is_found = found.is_some();
        Self {
            name,
            detail: found.unwrap_or_else(|| missing.to_owned()),
            remedy: (!is_found).then(|| remedy.to_owned()),
        }
    }

    /// Of what is told, whatever it is.
    fn found(name: &'static str, detail: String) -> Self {
        Self { name, detail, remedy: None }
    }

    const fn is_ok(&self) -> bool {
        self.remedy.is_none()
    }
}

fn privileges() -> Check {
    let remedy = "run it with sudo; or once: setcap cap_bpf,cap_perfmon,cap_dac_read_search=ep on the binary; \
                  in a container: --privileged --pid=host";
    let missing = "tracing needs root, or CAP_BPF and CAP_PERFMON";
    Check::new("privileges", caps::permitted().then(String::new), missing, remedy)
}

fn lockdown() -> Check {
    let mode = caps::lockdown().unwrap_or_else(|| "not in this kernel".to_owned());
    let missing = "confidentiality, which forbids tracing";
    let remedy = "boot with lockdown=integrity, or without lockdown (lockdown= on the kernel's command line, Secure Boot off)";
    Check::new("lockdown", (mode != "confidentiality").then_some(mode), missing, remedy)
}

/// Kernels before 5.11 charge maps to this limit. Whether this one does, a map that is larger tells.
fn memlock() -> Check {
    const ENOUGH: u64 = 64 << 20;
    let limit = caps::memlock();
    let detail = format!("{} kB, and may not be raised", limit / 1024);
    let remedy = "ulimit -l unlimited as root, or LimitMEMLOCK=infinity in the service's unit";
    if limit == libc::RLIM_INFINITY {
        return Check::found("memlock", "unlimited".to_owned());
    }
    let larger = MapSpec {
        name: "probe",
        map_type: bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
        key_size: 4,
        value_size: 4096,
        max_entries: (limit.min(ENOUGH) / 4096 + 1) as u32,
        flags: 0,
    };
    let matters = limit < ENOUGH && caps::permitted() && sys::map_create(&larger).is_err();
    Check::new("memlock", (!matters).then_some(detail.clone()), &detail, remedy)
}

fn fentry(kernel: &Kernel) -> Check {
    let is_off = read_setting("kernel.ftrace_enabled").as_deref() == Some("0");
    let remedy = if is_off {
        "sysctl kernel.ftrace_enabled=1"
    } else {
        "boot a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS and CONFIG_BPF_JIT; only the tools below that say so need it"
    };
    match kernel.fentry() {
        Ok(()) => Check::found("fentry", String::new()),
        Err(why) => Check::new("fentry", None, &why, remedy),
    }
}

fn tracefs_remedy() -> &'static str {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.contains("tracefs") {
        "mount -t tracefs nodev /sys/kernel/tracing"
    } else {
        "boot a kernel with CONFIG_FTRACE"
    }
}

/// A setting that is wrong if it has this value.
fn switch(name: &'static str, setting: &str, wrong: &str, missing: &str) -> Check {
    let value = read_setting(setting);
    let found = value.as_deref() != Some(wrong);
    let remedy = format!("sysctl {setting}=1");
    Check::new(name, found.then(String::new), &format!("{setting}={wrong}: {missing}"), &remedy)
}

fn read_setting(name: &str) -> Option<String> {
    let value = fs::read_to_string(Path::new("/proc/sys").join(name.replace('.', "/"))).ok()?;
    Some(value.trim().to_owned())
}

fn pid_namespace() -> &'static str {
    if numbers::is_first_namespace() {
        "the first one"
    } else {
        "one of its own: -p means its numbers, rows show the kernel's"
    }
}

fn release() -> String {
    let read = |file| fs::read_to_string(Path::new("/proc/sys/kernel").join(file)).unwrap_or_default();
    format!("{} {}", read("osrelease").trim(), std::env::consts::ARCH)
}

fn has_ring_buffer() -> bool {
    sys::has_map_type(bpf_map_type::BPF_MAP_TYPE_RINGBUF)
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
    for check in checks {
        let line =
            format!("{:<16}{:<5}{}", check.name, if check.is_ok() { "ok" } else { "no" }, check.detail);
        text.push_str(line.trim_end());
        text.push('\n');
        if let Some(remedy) = &check.remedy {
            text.push_str(&format!("{:21}-> {remedy}\n", ""));
        }
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
        .map(|Check { name, detail, remedy }| {
            json!({"name": name, "ok": remedy.is_none(), "detail": detail, "remedy": remedy})
        })
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
