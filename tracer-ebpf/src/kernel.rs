//! The kernel's structs, with the fields that tracer reads.
//!
//! Names are the kernel's own. A field that was renamed stands twice, newest first, and the
//! accessor of the pair takes the one this kernel has.

use crate::{
    kernel_structs,
    ptr::{In, Ptr},
};

/// A kernel word, in arrays of them.
pub type Word = u64;
/// A kernel pointer, in arrays of them.
pub type Pointer<T> = *const T;

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
        private_data: *const u8 = private_data;
    }

    /// include/linux/fs.h
    inode {
        i_mode: u16 = i_mode;
    }

    /// include/linux/dcache.h
    dentry {
        d_parent: *const dentry = d_parent;
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
}

impl<const DIRECT: bool> Ptr<task_struct, DIRECT> {
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
