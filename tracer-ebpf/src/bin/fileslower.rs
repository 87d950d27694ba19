//! fileslower: slow reads and writes, timed from their entry to their exit.
#![no_std]
#![no_main]

use tracer_ebpf::{call_time::on_thread_end, file_io::on_enter, slow_file::on_exit, tracepoint};

tracepoint!(sys_enter => on_enter);
tracepoint!(sys_exit => on_exit);
tracepoint!(sched_process_exit => on_thread_end);

tracer_ebpf::object!();
