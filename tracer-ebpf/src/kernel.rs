//! The kernel's structs, with the fields that tracer reads.
//!
//! Names are the kernel's own. A field that was renamed stands twice, newest first, and the
//! accessor of the pair takes the one this kernel has.

use aya_ebpf::Global;

use crate::{
    kernel_structs,
    ptr::{In, Ptr},
};

/// A kernel word, in arrays of them.
pub type Word = u64;
/// A kernel pointer, in arrays of them.
pub type Pointer<T> = *const T;

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the struct is named as in the kernel")]
static BTFS_upid: Global<u32> = Global::new(0);

kernel_structs! {
    /// include/linux/sched.h
    task_struct {
        tid: i32 = pid;
        pid: i32 = tgid;
        comm: [u8; 16] = comm;
        state_5_14: u32 = __state;
        state_old: i64 = state;
        real_parent: *const task_struct = real_parent;
        group_leader: *const task_struct = group_leader;
        mm: *const mm_struct = mm;
        stack: *const u8 = stack;
        cred: *const cred = real_cred;
        cgroups: *const css_set = cgroups;
        files: *const files_struct = files;
        fs: *const fs_struct = fs;
        thread_status: u32 = thread_info.status;
        thread_pid: *const pid = thread_pid;
        signal: *const signal_struct = signal;
        exit_code: i32 = exit_code;
        start_time: u64 = start_time;
        read_calls: u64 = ioac.syscr;
        cpu_time: u64 = se.sum_exec_runtime;
        cpu_time_before: u64 = se.prev_sum_exec_runtime;
    }

    /// include/linux/sched/signal.h
    signal_struct {
        live: i32 = live.counter;
        flags: u32 = flags;
        group_exit_code: i32 = group_exit_code;
    }

    /// include/linux/pid.h
    pid {
        level: u32 = level;
        numbers: In<upid> = numbers;
    }

    /// include/linux/pid.h
    upid {
        nr: i32 = nr;
        ns: *const pid_namespace = ns;
    }

    /// include/linux/pid_namespace.h
    pid_namespace {
        inum: u32 = ns.inum;
    }

    /// include/linux/cred.h
    cred {
        uid: u32 = uid.val;
    }

    /// include/linux/cgroup-defs.h
    css_set {
        dfl_cgrp: *const cgroup = dfl_cgrp;
    }

    /// include/linux/cgroup-defs.h
    cgroup {
        level: i32 = level;
        kn: *const kernfs_node = kn;
        ancestors_6_1: In<Pointer<cgroup>> = ancestors;
        ancestor_ids: In<Word> = ancestor_ids;
    }

    /// include/linux/kernfs.h
    kernfs_node {
        id: u64 = id;
    }

    /// include/linux/mm_types.h
    mm_struct {
        arg_start: u64 = arg_start;
        arg_end: u64 = arg_end;
    }

    /// include/linux/fdtable.h
    files_struct {
        fdt: *const fdtable = fdt;
    }

    /// include/linux/fdtable.h
    fdtable {
        max_fds: u32 = max_fds;
        fd: *const Word = fd;
    }

    /// include/linux/fs_struct.h
    fs_struct {
        pwd: In<path> = pwd;
    }

    /// include/linux/path.h
    path {
        mnt: *const vfsmount = mnt;
        dentry: *const dentry = dentry;
    }

    /// include/linux/fs.h
    file {
        f_path: In<path> = f_path;
        f_inode: *const inode = f_inode;
        f_pos: i64 = f_pos;
        private_data: *const u8 = private_data;
        f_mapping: *const address_space = f_mapping;
    }

    /// include/linux/fs.h
    inode {
        i_mode: u16 = i_mode;
        i_size: i64 = i_size;
        i_ino: u64 = i_ino;
        i_generation: u32 = i_generation;
        i_sb: *const super_block = i_sb;
    }

    /// include/linux/fs.h
    super_block {
        s_dev: u32 = s_dev;
        s_type: *const file_system_type = s_type;
    }

    /// include/linux/fs.h
    file_system_type {
        name: *const u8 = name;
    }

    /// include/linux/fs.h
    address_space {
        host: *const inode = host;
    }

    /// include/linux/fs.h
    kiocb {
        ki_filp: *const file = ki_filp;
        ki_pos: i64 = ki_pos;
    }

    /// include/linux/mm.h
    vm_fault {
        vma: *const vm_area_struct = vma;
        pgoff: u64 = pgoff;
    }

    /// include/linux/mm_types.h
    vm_area_struct {
        vm_file: *const file = vm_file;
    }

    /// include/linux/mm_types.h, since 5.16
    folio {
        flags: u64 = flags;
        mapping: *const address_space = mapping;
        flags_1: u64 = _flags_1;
        order_5_18: u8 = _folio_order;
    }

    /// include/linux/mm_types.h
    page {
        mapping: *const address_space = mapping;
    }

    /// include/linux/dcache.h
    dentry {
        d_parent: *const dentry = d_parent;
        d_inode: *const inode = d_inode;
        name: *const u8 = d_name.name;
    }

    /// include/linux/mount.h
    vfsmount {
        mnt_root: *const dentry = mnt_root;
    }

    /// fs/mount.h
    mount {
        mnt: In<vfsmount> = mnt;
        mnt_parent: *const mount = mnt_parent;
        mnt_mountpoint: *const dentry = mnt_mountpoint;
    }

    /// include/linux/net.h
    socket {
        sk: *const sock = sk;
    }

    /// include/net/sock.h
    sock {
        family: u16 = __sk_common.skc_family;
        state: u8 = __sk_common.skc_state;
        num: u16 = __sk_common.skc_num;
        dport: u16 = __sk_common.skc_dport;
        rcv_saddr: [u8; 4] = __sk_common.skc_rcv_saddr;
        daddr: [u8; 4] = __sk_common.skc_daddr;
        v6_rcv_saddr: [u8; 16] = __sk_common.skc_v6_rcv_saddr;
        v6_daddr: [u8; 16] = __sk_common.skc_v6_daddr;
        flags: u64 = __sk_common.skc_flags;
        sk_protocol: u16 = sk_protocol;
        sk_err: i32 = sk_err;
    }

    /// include/net/inet_sock.h
    inet_sock {
        inet_sport: u16 = inet_sport;
    }

    /// include/linux/tcp.h
    tcp_sock {
        bytes_received: u64 = bytes_received;
        bytes_sent: u64 = bytes_sent;
        bytes_retrans: u64 = bytes_retrans;
        lost_out: u32 = lost_out;
    }

    /// include/net/inet_connection_sock.h
    inet_connection_sock {
        icsk_retransmits: u8 = icsk_retransmits;
        icsk_pending: u8 = icsk_pending;
    }

    /// include/linux/blk-mq.h
    request {
        q: *const request_queue = q;
        rq_disk: *const gendisk = rq_disk;
        cmd_flags: u32 = cmd_flags;
        data_len: u32 = __data_len;
        sector: u64 = __sector;
        bio: *const bio = bio;
        biotail: *const bio = biotail;
    }

    /// include/linux/blkdev.h
    request_queue {
        disk: *const gendisk = disk;
    }

    /// include/linux/blkdev.h
    gendisk {
        major: i32 = major;
        first_minor: i32 = first_minor;
        disk_name: In<u128> = disk_name;
    }

    /// include/linux/blk_types.h
    bio {}

    /// mm/slab.h
    kmem_cache {
        size: u32 = size;
    }

    /// include/linux/interrupt.h
    irqaction {
        name: *const u8 = name;
    }

    /// include/linux/perf_event.h
    perf_event {
        tp_event: *const trace_event_call = tp_event;
    }

    /// include/linux/trace_events.h
    trace_event_call {
        list: In<list_head> = list;
        data: *const syscall_metadata = data;
    }

    /// include/trace/syscall.h
    syscall_metadata {
        name: *const u8 = name;
        syscall_nr: i32 = syscall_nr;
        enter_event: *const trace_event_call = enter_event;
    }

    /// include/linux/types.h
    list_head {
        next: *const list_head = next;
    }

    /// arch/x86/include/asm/ptrace.h
    pt_regs {
        ax: u64 = ax;
        bx: u64 = bx;
        cx: u64 = cx;
        dx: u64 = dx;
        si: u64 = si;
        di: u64 = di;
        r8: u64 = r8;
        r9: u64 = r9;
        r10: u64 = r10;
        orig_ax: u64 = orig_ax;
    }
}

impl<const DIRECT: bool> Ptr<task_struct, DIRECT> {
    /// `TASK_*` bits. Renamed and narrowed in 5.14:
    /// <https://github.com/torvalds/linux/commit/2f064a59a11ff9bc22e52e9678bc601404c7cb34>
    #[inline(always)]
    pub fn state(self) -> u32 {
        if self.has_state_5_14() { self.state_5_14() } else { self.state_old() as u32 }
    }

    /// For how many nanoseconds a thread that is being switched out had its CPU; of those that are scheduled in
    /// real time it is not known, and comes to too much.
    #[inline(always)]
    pub fn ran(self) -> u64 {
        self.cpu_time().wrapping_sub(self.cpu_time_before())
    }
}

impl<const DIRECT: bool> Ptr<task_struct, DIRECT> {
    /// The inode number of the pid namespace that the task itself is in.
    #[inline(always)]
    pub fn pid_namespace(self) -> u32 {
        self.upid(self.pid_level()).ns().inum()
    }

    /// How deep that namespace is below the first one.
    #[inline(always)]
    pub fn pid_level(self) -> u32 {
        self.by_helper().thread_pid().level()
    }

    /// The number of the task in the namespace at this depth that it is in.
    #[inline(always)]
    pub fn tid_at(self, level: u32) -> u32 {
        self.upid(level).nr() as u32
    }

    #[inline(always)]
    fn upid(self, level: u32) -> Ptr<upid, false> {
        self.by_helper().thread_pid().numbers().nth(level.into(), BTFS_upid.load())
    }
}

impl<const DIRECT: bool> Ptr<task_struct, DIRECT> {
    /// The id of the cgroup v2 that the task is in.
    #[inline(always)]
    pub fn cgroup_id(self) -> u64 {
        self.by_helper().cgroups().dfl_cgrp().kn().id()
    }

    /// The id of the cgroup v2 that the task's own is in at this depth; 0 if it is not that deep.
    ///
    /// Ids until 6.0, pointers from 6.1 on:
    /// <https://github.com/torvalds/linux/commit/7f203bc89eb66d6afde7eae91347fc0352090cc3>
    #[inline(always)]
    pub fn cgroup_ancestor(self, level: u32) -> u64 {
        let cgroup = self.by_helper().cgroups().dfl_cgrp();
        if (cgroup.level() as u32) < level {
            0
        } else if cgroup.has_ancestors_6_1() {
            let ancestor = cgroup.ancestors_6_1().nth(level.into(), 8).read();
            Ptr::<_, false>::new(ancestor).kn().id()
        } else {
            cgroup.ancestor_ids().nth(level.into(), 8).read()
        }
    }
}

impl<const DIRECT: bool> Ptr<tcp_sock, DIRECT> {
    /// Bytes sent, each counted once.
    #[inline(always)]
    pub fn tx_bytes(self) -> u64 {
        self.bytes_sent().wrapping_sub(self.bytes_retrans())
    }
}

impl<const DIRECT: bool> Ptr<request, DIRECT> {
    /// The disk that a request goes to; null for one to a controller. It moved to the queue in 5.17:
    /// <https://github.com/torvalds/linux/commit/f3fa33acca9f0058157214800f68b10d8e71ab7a>
    #[inline(always)]
    pub fn disk(self) -> Ptr<gendisk, DIRECT> {
        if self.has_rq_disk() { self.rq_disk() } else { self.q().disk() }
    }
}

impl<const DIRECT: bool> Ptr<gendisk, DIRECT> {
    /// The first 16 bytes of a disk's name, which compare fast as a number. No driver's are longer.
    #[inline(always)]
    pub fn name(self) -> u128 {
        self.disk_name().by_helper().read()
    }
}
