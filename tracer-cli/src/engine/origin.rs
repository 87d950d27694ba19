//! The columns that every tool with processes has when they are asked for: the cgroup and the container that
//! an event comes from.
//!
//! The kernel's filter notes each process's cgroup, as the process may be gone when its row is printed.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    os::unix::ffi::OsStrExt,
    rc::Rc,
    sync::Arc,
};

use crate::{
    bpf::map::Map,
    output::{Column, Value},
    system::{
        cgroup::Hierarchy,
        container::{self, Containers},
    },
};

/// Processes whose cgroup is remembered: more than there are rows that wait.
pub const ROOM: u32 = 16384;

const CGROUP: &str = "cgroup";
const CONTAINER: &str = "container";
/// The columns' names.
pub const NAMES: [&str; 2] = [CGROUP, CONTAINER];

/// A tool's columns, with those.
#[must_use]
pub fn extend(mut columns: Vec<Column>) -> Vec<Column> {
    let has = |name| columns.iter().any(|column| column.name == name);
    if has("pid") && !has(CGROUP) {
        let cgroup = Column::text(CGROUP, 30, "path of the process's cgroup v2");
        let container = Column::text(CONTAINER, 12, "name of the container, or the beginning of its id");
        columns.extend([cgroup, container].map(|column| column.when_asked().unlike_flag()));
    }
    columns
}

/// Finds where processes are.
pub struct Origin {
    cgroups: Arc<Map>,
    hierarchy: Hierarchy,
    /// Which of a row's values is the process.
    pid: usize,
    known: RefCell<HashMap<u64, Option<Rc<Place>>>>,
    containers: RefCell<Containers>,
    /// Names were read anew for a container that was not known.
    reads: Cell<u32>,
}

/// A cgroup's path, and its container's name.
struct Place {
    cgroup: Vec<u8>,
    container: Option<String>,
}

impl Origin {
    /// # Errors
    /// If there is no cgroup v2.
    pub fn new(cgroups: Arc<Map>, columns: &[Column]) -> anyhow::Result<Option<Self>> {
        let Some(pid) = columns.iter().position(|column| column.name == "pid") else { return Ok(None) };
        Ok(Some(Self {
            cgroups,
            hierarchy: Hierarchy::open()?,
            pid,
            known: RefCell::default(),
            containers: RefCell::new(Containers::read()),
            reads: Cell::new(0),
        }))
    }

    /// Calls `with` with a row's values and those of the two columns.
    pub fn extend<R>(&self, values: &[Value<'_>], with: impl FnOnce(&[Value<'_>]) -> R) -> R {
        let place = match values.get(self.pid) {
            Some(Value::Uint(pid)) => self.place(*pid as u32),
            _ => None,
        };
        let mut all = values.to_vec();
        all.push(place.as_ref().map_or(Value::Null, |place| Value::Text(&place.cgroup)));
        let container = place.as_ref().and_then(|place| place.container.as_ref());
        all.push(container.map_or(Value::Null, |name| Value::Text(name.as_bytes())));
        with(&all)
    }

    fn place(&self, pid: u32) -> Option<Rc<Place>> {
        let id = self.cgroups.get(&pid.to_ne_bytes()).ok()??;
        let id = u64::from_ne_bytes(*id.first_chunk()?);
        let known = self.known.borrow().get(&id).cloned();
        known.unwrap_or_else(|| {
            let place = self.find(id).map(Rc::new);
            self.known.borrow_mut().insert(id, place.clone());
            place
        })
    }

    fn find(&self, id: u64) -> Option<Place> {
        const MOST_READS: u32 = 1000;
        let path = self.hierarchy.path(id).ok()?;
        let container = container::id_in_path(&path).map(|id| {
            if !self.containers.borrow().knows(id) && self.reads.get() < MOST_READS {
                self.reads.set(self.reads.get() + 1);
                self.containers.replace(Containers::read());
            }
            self.containers.borrow().name(id).to_owned()
        });
        Some(Place { cgroup: path.as_os_str().as_bytes().to_vec(), container })
    }
}
