//! Who is measured, with which words. To add a tool or a peer, add a line.

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Tracer,
    Floor,
    /// A program of the peers' root; its name comes first.
    Peer,
}

#[derive(Clone, Copy, Debug)]
pub struct Contender {
    pub label: &'static str,
    pub program: Program,
    /// The command line; `{pid}` is the workload's process.
    pub words: &'static [&'static str],
    /// Its rows are on stderr.
    pub on_stderr: bool,
    /// It gets this part of the operations: the slow ones would take all day.
    pub share: u64,
}

impl Contender {
    const fn new(label: &'static str, program: Program, words: &'static [&'static str]) -> Self {
        Self { label, program, words, on_stderr: false, share: 1 }
    }

    const fn slow(mut self, share: u64) -> Self {
        self.share = share;
        self
    }

    const fn on_stderr(mut self) -> Self {
        self.on_stderr = true;
        self
    }
}

pub const fn tracer(label: &'static str, words: &'static [&'static str]) -> Contender {
    Contender::new(label, Program::Tracer, words)
}

const fn floor(label: &'static str, programs: &'static [&'static str]) -> Contender {
    Contender::new(label, Program::Floor, programs)
}

const fn peer(label: &'static str, words: &'static [&'static str]) -> Contender {
    Contender::new(label, Program::Peer, words)
}

/// The label of what a floor adds with nothing in it.
pub const EMPTY: &str = "floor: empty program";
pub const LIBBPF: &str = "libbpf-tools";
pub const BPFTRACE: &str = "bpftrace printf";
pub const TRACER: &str = "tracer";

pub const OPENS: &[Contender] = &[
    floor(EMPTY, &["empty_exit"]),
    floor("floor: path and result", &["opens"]),
    tracer(TRACER, &["opensnoop"]),
    peer(LIBBPF, &["opensnoop-libbpf"]),
    peer(
        BPFTRACE,
        &[
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_openat { printf(\"%d %s %s\\n\", pid, comm, str(args.filename)); }",
        ],
    ),
    peer("bpftrace opensnoop.bt", &["opensnoop.bt"]).slow(2),
    peer("bcc", &["opensnoop-bpfcc"]).slow(5),
    peer("perf trace", &["perf", "trace", "-e", "openat", "-p", "{pid}"]).slow(20).on_stderr(),
    peer("strace", &["strace", "-f", "-e", "trace=openat", "-p", "{pid}"]).slow(50).on_stderr(),
];

pub const EXECS: &[Contender] = &[
    floor(EMPTY, &["empty_exec"]),
    tracer(TRACER, &["execsnoop"]),
    peer(LIBBPF, &["execsnoop-libbpf"]),
    peer("bpftrace execsnoop.bt", &["execsnoop.bt"]),
    peer("bcc", &["execsnoop-bpfcc"]),
    peer("strace", &["strace", "-f", "-e", "trace=execve", "-p", "{pid}"]).slow(20).on_stderr(),
];

pub const CALLS: &[Contender] = &[
    floor(EMPTY, &["empty_exit"]),
    floor("floor: counter by number", &["calls"]),
    tracer(TRACER, &["syscount"]),
    peer(LIBBPF, &["syscount-libbpf"]),
    peer("bpftrace by comm", &["bpftrace", "-e", "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }"]),
    peer("bcc", &["syscount-bpfcc"]),
];

pub const SWITCHES: &[Contender] = &[
    floor(EMPTY, &["empty_switch", "empty_wakeup"]),
    floor("floor: clock", &["clock_switch", "empty_wakeup"]),
    tracer(TRACER, &["runqlat"]),
    peer(LIBBPF, &["runqlat-libbpf"]),
    peer("bpftrace runqlat.bt", &["runqlat.bt"]),
    peer("bcc", &["runqlat-bpfcc"]),
];

pub const STACK_SWITCHES: &[Contender] = &[
    floor(EMPTY, &["empty_switch"]),
    tracer(TRACER, &["offcputime"]),
    peer(LIBBPF, &["offcputime-libbpf"]),
    peer("bcc", &["offcputime-bpfcc"]),
];

pub const CONNECTS: &[Contender] = &[
    floor(EMPTY, &["empty_exit", "empty_state"]),
    tracer("tracer tcpconnect", &["tcpconnect"]),
    tracer("tracer tcplife", &["tcplife"]),
    peer("libbpf-tools tcpconnect", &["tcpconnect-libbpf"]),
    peer("libbpf-tools tcplife", &["tcplife-libbpf"]),
    peer("bcc tcplife", &["tcplife-bpfcc"]),
];

pub const DIRECT_READS: &[Contender] = &[
    floor(EMPTY, &["empty_issue", "empty_complete"]),
    tracer(TRACER, &["biolatency"]),
    peer(LIBBPF, &["biolatency-libbpf"]),
    peer("bpftrace biolatency.bt", &["biolatency.bt"]),
    peer("bcc", &["biolatency-bpfcc"]),
];

/// Snoops of opens whose rows are counted as the workload grows faster.
pub const THROUGHPUT: &[Contender] = &[
    tracer(TRACER, &["opensnoop"]),
    tracer("tracer, JSON", &["opensnoop", "--json"]),
    peer(LIBBPF, &["opensnoop-libbpf"]),
    peer(
        BPFTRACE,
        &[
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_openat { printf(\"%d %s %s\\n\", pid, comm, str(args.filename)); }",
        ],
    ),
];

pub const START_UP_OPENS: &[Contender] = &[
    tracer("tracer opensnoop", &["opensnoop"]),
    peer("libbpf-tools opensnoop", &["opensnoop-libbpf"]),
    peer(
        BPFTRACE,
        &[
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_openat { printf(\"%d %s %s\\n\", pid, comm, str(args.filename)); }",
        ],
    ),
    peer("bpftrace opensnoop.bt", &["opensnoop.bt"]),
    peer("bcc opensnoop", &["opensnoop-bpfcc"]),
    peer("perf trace", &["perf", "trace", "-e", "openat", "-p", "{pid}"]).on_stderr(),
    peer("strace", &["strace", "-f", "-e", "trace=openat", "-p", "{pid}"]).on_stderr(),
];

pub const START_UP_EXECS: &[Contender] = &[
    tracer("tracer execsnoop", &["execsnoop"]),
    peer("libbpf-tools execsnoop", &["execsnoop-libbpf"]),
    peer("bpftrace execsnoop.bt", &["execsnoop.bt"]),
    peer("bcc execsnoop", &["execsnoop-bpfcc"]),
];

/// What idle tools hold.
pub const IDLE: &[Contender] = &[
    tracer("tracer opensnoop", &["opensnoop"]),
    tracer("tracer execsnoop", &["execsnoop"]),
    tracer("tracer exitsnoop", &["exitsnoop"]),
    tracer("tracer syscount", &["syscount"]),
    tracer("tracer tcpconnect", &["tcpconnect"]),
    tracer("tracer tcplife", &["tcplife"]),
    tracer("tracer biolatency", &["biolatency"]),
    tracer("tracer runqlat", &["runqlat"]),
    tracer("tracer biosnoop", &["biosnoop"]),
    tracer("tracer biotop", &["biotop"]),
    tracer("tracer cachestat", &["cachestat"]),
    tracer("tracer cpudist", &["cpudist"]),
    tracer("tracer fileslower", &["fileslower"]),
    tracer("tracer filetop", &["filetop"]),
    tracer("tracer fsdist", &["fsdist"]),
    tracer("tracer fsslower", &["fsslower"]),
    tracer("tracer gethostlatency", &["gethostlatency"]),
    tracer("tracer hardirqs", &["hardirqs"]),
    tracer("tracer runqslower", &["runqslower"]),
    tracer("tracer softirqs", &["softirqs"]),
    tracer("tracer tcpaccept", &["tcpaccept"]),
    tracer("tracer tcpconnlat", &["tcpconnlat"]),
    tracer("tracer tcpretrans", &["tcpretrans"]),
    tracer("tracer tcpstates", &["tcpstates"]),
    tracer("tracer tcptop", &["tcptop"]),
    tracer("tracer vfsstat", &["vfsstat"]),
    tracer("tracer profile", &["profile"]),
    tracer("tracer offcputime", &["offcputime"]),
    tracer("tracer offwaketime", &["offwaketime"]),
    tracer("tracer wakeuptime", &["wakeuptime"]),
    tracer("tracer biostacks", &["biostacks"]),
    tracer("tracer memgrow", &["memgrow"]),
    peer("libbpf-tools opensnoop", &["opensnoop-libbpf"]),
    peer("libbpf-tools execsnoop", &["execsnoop-libbpf"]),
    peer("libbpf-tools exitsnoop", &["exitsnoop-libbpf"]),
    peer("libbpf-tools syscount", &["syscount-libbpf"]),
    peer("libbpf-tools tcplife", &["tcplife-libbpf"]),
    peer("libbpf-tools biolatency", &["biolatency-libbpf"]),
    peer("libbpf-tools runqlat", &["runqlat-libbpf"]),
    peer(
        BPFTRACE,
        &[
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_openat { printf(\"%d %s %s\\n\", pid, comm, str(args.filename)); }",
        ],
    ),
    peer("bcc opensnoop", &["opensnoop-bpfcc"]),
];

/// Counters by stack, for many stacks.
pub const BY_STACK: &[Contender] = &[tracer(TRACER, &["offcputime"]), peer(LIBBPF, &["offcputime-libbpf"])];

/// Histograms by thread, for many threads.
pub const BY_THREAD: &[Contender] =
    &[tracer(TRACER, &["runqlat", "-L"]), peer(LIBBPF, &["runqlat-libbpf", "-L"])];
