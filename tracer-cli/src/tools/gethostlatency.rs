//! gethostlatency: lookups of hosts by the C library, and how long they take.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Duration,
};

use tracer_common::{
    record::until_nul,
    tools::gethostlatency::{Event, FUNCTIONS, GETADDRINFO},
};
use zerocopy::{FromZeros, IntoBytes};

use crate::{
    bpf::hook::{Hook, Point, UserFunction},
    engine::{
        Plan, Rows,
        common::{Count, Failed, Threshold},
        snoop::Snoop,
    },
    error::Failure,
    output::{Column, Value},
    system::{c_library, elf},
    tool::{About, Domain, Shape, Tool},
};

#[derive(clap::Args)]
pub struct Gethostlatency {
    #[command(flatten)]
    failed: Failed,
    #[command(flatten)]
    threshold: Threshold,
    /// Programs or libraries to look at, instead of the C libraries in use
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Filters")]
    lib: Vec<PathBuf>,
    #[command(flatten)]
    count: Count,
}

macro_rules! hooks {
    ($($name:literal)*) => {
        [$(&[&[Hook::Uprobe($name), Hook::Uretprobe($name)]]),*]
    };
}

/// A point for each of [`FUNCTIONS`].
const HOOKS: [Point; FUNCTIONS.len()] =
    hooks!("getaddrinfo" "gethostbyname" "gethostbyname2" "gethostbyname_r" "gethostbyname2_r");

impl Tool for Gethostlatency {
    const ABOUT: About = About {
        name: "gethostlatency",
        aliases: &[],
        domain: Domain::Network,
        summary: "Lookups of hosts by the C library: who, which host, how long",
    };
    const STACK_OF: Option<&'static str> = Some("the caller, in user space");
    type Flags = Self;

    fn prepare(flags: Self, plan: &mut Plan) -> anyhow::Result<Shape> {
        HOOKS.iter().for_each(|point| plan.hook(point));
        flags.threshold.plan(plan, "MIN_NS", Duration::ZERO);
        plan.set("FAILED_ONLY", u32::from(flags.failed.failed));
        let (lib, pids, command) = (flags.lib.clone(), plan.pids.clone(), plan.command.clone());
        plan.user_functions = Some(Box::new(move || find(&lib, &pids, command.as_deref())));
        Ok(Shape::Snoop(Box::new(flags)))
    }
}

/// Where the functions are: in the files given, else in all that processes use, or those asked for.
fn find(lib: &[PathBuf], pids: &[u32], command: Option<&Path>) -> anyhow::Result<Vec<UserFunction>> {
    let files = match (lib, command) {
        ([], None) => c_library::of_processes(pids),
        ([], Some(command)) => c_library::of_program(Some(command)),
        (lib, _) => lib.to_vec(),
    };
    let mut functions = Vec::new();
    for file in files {
        let found = elf::functions(&file, &FUNCTIONS);
        if found.is_empty() && lib.contains(&file) {
            anyhow::bail!("--lib {}: no 64-bit program or library with {}", file.display(), FUNCTIONS[0]);
        }
        functions.extend(found.into_iter().map(|(name, offset)| UserFunction {
            name,
            file: file.clone(),
            offset,
        }));
    }
    if functions.is_empty() {
        let why = "no C library with getaddrinfo was found: give the program or library by --lib";
        return Err(Failure::Unsupported(why.to_owned()).into());
    }
    Ok(functions)
}

/// <netdb.h>: the same numbers in glibc and musl.
fn error_name(function: u32, error: i32) -> Cow<'static, str> {
    let name = match (function, error) {
        (GETADDRINFO, -1) => "EAI_BADFLAGS",
        (GETADDRINFO, -2) => "EAI_NONAME",
        (GETADDRINFO, -3) => "EAI_AGAIN",
        (GETADDRINFO, -4) => "EAI_FAIL",
        (GETADDRINFO, -5) => "EAI_NODATA",
        (GETADDRINFO, -6) => "EAI_FAMILY",
        (GETADDRINFO, -7) => "EAI_SOCKTYPE",
        (GETADDRINFO, -8) => "EAI_SERVICE",
        (GETADDRINFO, -9) => "EAI_ADDRFAMILY",
        (GETADDRINFO, -10) => "EAI_MEMORY",
        (GETADDRINFO, -11) => "EAI_SYSTEM",
        (GETADDRINFO, -12) => "EAI_OVERFLOW",
        (GETADDRINFO, _) => return error.to_string().into(),
        _ => "failed",
    };
    name.into()
}

impl Snoop for Gethostlatency {
    fn columns(&self) -> Vec<Column> {
        vec![
            Column::number("pid", 7, "process"),
            Column::number("tid", 7, "thread").hidden(),
            Column::number("uid", 5, "real user id").hidden(),
            Column::text("comm", 15, "command name"),
            Column::text("function", 16, "function of the C library that was called").hidden(),
            Column::number("latency_ms", 10, "time that the lookup took").unit("ms"),
            Column::text("error", 12, "why it failed; of others than getaddrinfo only that it did"),
            Column::text("host", 0, "host that was looked up; none if only a service was"),
        ]
    }

    fn limit(&self) -> Option<u64> {
        self.count.count
    }

    fn record(&mut self, record: &[u8], rows: &mut Rows<'_>) {
        // It ends with the name.
        let mut event = Event::new_zeroed();
        let len = record.len().min(size_of::<Event>());
        event.as_mut_bytes()[..len].copy_from_slice(&record[..len]);
        let Event { header, latency_ns, error, host_len, host } = event;
        let function = FUNCTIONS.get(header.kind as usize).copied().unwrap_or_default();
        let name = error_name(header.kind, error);
        rows.push(
            header.ns,
            &[
                Value::Uint(header.pid.into()),
                Value::Uint(header.tid.into()),
                Value::Uint(header.uid.into()),
                Value::Text(header.comm()),
                Value::Text(function.as_bytes()),
                Value::Float(latency_ns as f64 / 1e6, 3),
                if error == 0 { Value::Null } else { Value::Text(name.as_bytes()) },
                if host_len == 0 { Value::Null } else { Value::Text(until_nul(&host)) },
            ],
        );
    }
}
