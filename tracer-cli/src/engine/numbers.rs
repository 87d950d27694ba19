//! Numbers of processes and threads: the kernel's filter knows those of the first PID namespace, the user
//! those of tracer's own.

use std::{collections::HashMap, fs, io, os::unix::fs::MetadataExt, path::Path, sync::Arc};

use anyhow::Context;
use tracer_common::filter::MAX_FOLLOWED;

use super::{
    plan::Plan,
    session::{read_kernel, wanted_names},
};
use crate::{
    bpf::{
        hook::{Hook, Link, Point},
        map::Map,
        object::Object,
    },
    objects,
};

/// The inode of the first PID namespace: `PROC_PID_INIT_INO`.
const FIRST_NAMESPACE: u64 = 0xefff_fffc;
const TASKS: Point = &[&[Hook::Iter("task")]];

/// Whether tracer's numbers are the kernel's.
#[must_use]
pub fn is_first_namespace() -> bool {
    fs::metadata("/proc/self/ns/pid").map_or(true, |namespace| namespace.ino() == FIRST_NAMESPACE)
}

/// From tracer's numbers to the kernel's.
#[derive(Default)]
pub enum Numbers {
    /// They are the same.
    #[default]
    Same,
    /// This iterator finds them.
    Inside { link: Link, map: Arc<Map> },
}

impl Numbers {
    /// # Errors
    /// If the kernel refuses the iterator, where it is needed.
    pub fn here(btf: Option<&Path>) -> anyhow::Result<Self> {
        if is_first_namespace() {
            return Ok(Self::Same);
        }
        Self::find(btf).context("finding what processes are called outside this PID namespace failed")
    }

    fn find(btf: Option<&Path>) -> anyhow::Result<Self> {
        let data = objects::of("pid_namespace").context("this binary was built without its object")?;
        let mut object = Object::parse(data)?;
        let mut plan = Plan::default();
        plan.hook(TASKS);
        let kernel = read_kernel(btf, &wanted_names(&object, &plan))?;
        object.resolve(&kernel)?;
        object.set_entries("NUMBERS", MAX_FOLLOWED);
        let object = object.create_maps()?;
        let map = object.map("NUMBERS").context("the built-in object has no map")?;
        let link = kernel.load(Hook::Iter("task"), &object)?.attach(&kernel)?;
        Ok(Self::Inside { link, map })
    }

    /// The kernel's numbers of the processes that these threads are of, and of the threads themselves. Those
    /// that are gone have none.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn outside(&self, tids: &[u32]) -> io::Result<HashMap<u32, [u32; 2]>> {
        let Self::Inside { link, map } = self else {
            return Ok(tids.iter().map(|&tid| (tid, [tid, tid])).collect());
        };
        for tid in tids {
            map.insert(&tid.to_ne_bytes(), &[0; 8])?;
        }
        link.iterate()?;
        let mut found = HashMap::new();
        for &tid in tids {
            let value = map.get(&tid.to_ne_bytes())?;
            map.remove(&tid.to_ne_bytes())?;
            let [Some(pid), Some(own)] = [0, 4].map(|at| number(value.as_deref(), at)) else { continue };
            if pid != 0 {
                found.insert(tid, [pid, own]);
            }
        }
        Ok(found)
    }

    /// The kernel's numbers of processes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn of_processes(&self, pids: &[u32]) -> io::Result<Vec<u32>> {
        Ok(self.outside(pids)?.into_values().map(|[pid, _]| pid).collect())
    }

    /// The kernel's numbers of threads.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn of_threads(&self, tids: &[u32]) -> io::Result<Vec<u32>> {
        Ok(self.outside(tids)?.into_values().map(|[_, tid]| tid).collect())
    }
}

fn number(value: Option<&[u8]>, at: usize) -> Option<u32> {
    value?.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}
