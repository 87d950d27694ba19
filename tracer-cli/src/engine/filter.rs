//! From the filter flags to what the kernel's filter asks.

use std::{collections::HashSet, fs, io, path::Path};

use anyhow::Context;
use tracer_common::filter::{self as on, COMM_STATES, CommPatterns, MAX_FOLLOWED, MAX_IDS};

use super::{common::Common, numbers::Numbers};
use crate::{
    bpf::{
        map::Map,
        object::{Linked, Object},
    },
    error::Failure,
    expr::Pushed,
    system::{cgroup::Cgroup, container, processes, users},
};

/// No process has this number.
const NO_PID: u32 = u32::MAX;

/// What a run filters by.
#[derive(Default)]
pub struct Filter {
    on: u32,
    pids: Vec<u32>,
    tids: Vec<u32>,
    uids: Vec<u32>,
    comm: Option<Box<CommPatterns>>,
    cgroup: Option<Cgroup>,
    numbers: Numbers,
    /// Processes and threads that a condition on rows names, by the kernel's own numbers.
    told: [Vec<u32>; 2],
}

impl Filter {
    /// Reads the flags.
    ///
    /// # Errors
    /// [`Failure::Usage`] for what can't be understood, [`Failure::Absent`] for what isn't there.
    pub fn new(common: &Common) -> anyhow::Result<Self> {
        let mut filter = Self { pids: common.pid.clone(), tids: common.tid.clone(), ..Self::default() };
        for (flag, ids, kind) in [(on::PID, &filter.pids, "process"), (on::TID, &filter.tids, "thread")] {
            if ids.len() > MAX_IDS as usize {
                return Err(Failure::Usage(format!("at most {MAX_IDS} {kind} ids")).into());
            }
            if let Some(id) = ids.iter().find(|id| !Path::new(&format!("/proc/{id}")).exists()) {
                anyhow::bail!("there is no {kind} {id}");
            }
            if !ids.is_empty() {
                filter.on |= flag;
            }
        }
        // Those a condition on rows names need not be there yet.
        filter.push(&common.pushed);
        if common.follow || !common.command.is_empty() {
            filter.on |= on::PID | on::FOLLOW;
        }
        for user in &common.uid {
            filter
                .uids
                .push(users::uid(user).ok_or_else(|| Failure::Usage(format!("there is no user {user}")))?);
            filter.on |= on::UID;
        }
        if !common.comm.is_empty() {
            filter.comm = Some(comm_patterns(&common.comm)?);
            filter.on |= on::COMM;
        } else if !common.pushed.comms.is_empty()
            // What there is no room for is left to user space.
            && let Ok(patterns) = comm_patterns(&common.pushed.comms)
        {
            filter.comm = Some(patterns);
            filter.on |= on::COMM;
        }
        let container = common.container.as_deref().map(container::find).transpose()?;
        if let (Some(name), Some(path), 1..) = (&common.container, &container, common.verbose) {
            eprintln!("tracer: container {name} is cgroup {}", path.display());
        }
        if let Some(path) = container.as_ref().or(common.cgroup.as_ref()) {
            filter.cgroup = Some(Cgroup::find(path)?);
            filter.on |= on::CGROUP;
        }
        Ok(filter)
    }

    /// Finds out by which numbers the kernel knows processes, before anything else is asked of it.
    ///
    /// # Errors
    /// If that can't be found.
    pub fn find_numbers(&mut self, btf: Option<&Path>) -> anyhow::Result<()> {
        self.numbers = Numbers::here(btf)?;
        Ok(())
    }

    /// Takes over what a condition on rows tells.
    fn push(&mut self, pushed: &Pushed) {
        let [pids, tids] = &mut self.told;
        for (flag, own, told) in [
            (on::PID, pids, &pushed.pids),
            (on::TID, tids, &pushed.tids),
            (on::UID, &mut self.uids, &pushed.uids),
        ] {
            if !told.is_empty() {
                own.clone_from(told);
                self.on |= flag;
            }
        }
    }

    /// Whether processes are followed, which needs hooks of its own.
    #[must_use]
    pub const fn follows(&self) -> bool {
        self.on & on::FOLLOW != 0
    }

    /// Sets the constants and sizes of an object's filter.
    ///
    /// # Errors
    /// If the object does not have them.
    pub fn apply(&self, object: &mut Object) -> anyhow::Result<()> {
        object.set("FILTER_ON", &self.on.to_ne_bytes())?;
        let own = self.numbers.of_processes(&[std::process::id()])?;
        let own = *own.first().context("tracer does not find itself")?;
        // Who asks for tracer itself gets it, with what each row does to the next.
        let is_asked_for = self.pids.contains(&std::process::id());
        object.set("FILTER_SELF", &if is_asked_for { NO_PID } else { own }.to_ne_bytes())?;
        if let Some(cgroup) = &self.cgroup {
            object.set("FILTER_CGROUP_ID", &cgroup.id.to_ne_bytes())?;
            object.set("FILTER_CGROUP_LEVEL", &cgroup.level.to_ne_bytes())?;
        }
        if let Some(patterns) = &self.comm {
            object.set("FILTER_COMM", &comm_bytes(patterns))?;
        }
        let [told_pids, told_tids] = self.told.each_ref().map(|ids| capacity(ids));
        let pids = if self.follows() { MAX_FOLLOWED } else { capacity(&self.pids).max(told_pids) };
        object.set_entries("FILTER_PIDS", pids);
        object.set_entries("FILTER_TIDS", capacity(&self.tids).max(told_tids));
        object.set_entries("FILTER_UIDS", capacity(&self.uids));
        Ok(())
    }

    /// Fills the id sets of a linked object.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn fill(&self, object: &Linked) -> io::Result<()> {
        let pids = self.numbers.of_processes(&self.pids)?;
        let tids = self.numbers.of_threads(&self.tids)?;
        let [told_pids, told_tids] = &self.told;
        for (map, ids) in [
            ("FILTER_PIDS", &pids),
            ("FILTER_PIDS", told_pids),
            ("FILTER_TIDS", &tids),
            ("FILTER_TIDS", told_tids),
            ("FILTER_UIDS", &self.uids),
        ] {
            if let Some(map) = object.map(map) {
                insert_all(&map, ids)?;
            }
        }
        Ok(())
    }

    /// Adds a process that is to be followed.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn add(&self, object: &Linked, pid: u32) -> io::Result<()> {
        let Some(map) = object.map("FILTER_PIDS") else { return Ok(()) };
        insert_all(&map, &self.numbers.of_processes(&[pid])?)
    }

    /// Whether all processes that the run is about have ended.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn has_nobody_left(&self, object: &Linked) -> io::Result<bool> {
        if !self.follows() {
            return Ok(!self.pids.iter().any(|&pid| processes::runs(pid)));
        }
        let Some(map) = object.map("FILTER_PIDS") else { return Ok(true) };
        // Inside a PID namespace, those that have ended stay until their parents have asked for them.
        let is_same = matches!(self.numbers, Numbers::Same);
        let number = |key: &Vec<u8>| key.first_chunk().map_or(0, |pid| u32::from_ne_bytes(*pid));
        Ok(!map.keys()?.iter().any(|key| !is_same || processes::runs(number(key))))
    }

    /// Adds the descendants that the given processes have already. Forks from now on are followed
    /// in the kernel, so this looks until it finds nothing new.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn add_descendants(&self, object: &Linked) -> io::Result<()> {
        let Some(map) = object.map("FILTER_PIDS").filter(|_| self.follows() && !self.pids.is_empty()) else {
            return Ok(());
        };
        let mut known: HashSet<u32> = self.pids.iter().copied().collect();
        loop {
            let new = children_of(&known)?;
            if new.is_empty() {
                return Ok(());
            }
            insert_all(&map, &self.numbers.of_processes(&new)?)?;
            known.extend(new);
        }
    }
}

fn capacity(ids: &[u32]) -> u32 {
    u32::try_from(ids.len()).unwrap_or(MAX_IDS).max(1)
}

fn insert_all(map: &Map, ids: &[u32]) -> io::Result<()> {
    ids.iter().try_for_each(|id| map.add(&id.to_ne_bytes()))
}

/// Processes whose parent is among `parents` and that are not there themselves.
fn children_of(parents: &HashSet<u32>) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let Ok(pid) = name.parse::<u32>() else { continue };
        if !parents.contains(&pid) && processes::parent(pid).is_some_and(|parent| parents.contains(&parent)) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// Builds the automaton for command name patterns. A state stands before each literal; a `*`
/// before it lets the state stay.
fn comm_patterns(patterns: &[String]) -> Result<Box<CommPatterns>, Failure> {
    let mut automaton = Box::new(CommPatterns { accept: [0; 256], star: 0, start: 0, end: 0 });
    let mut state = 0;
    for pattern in patterns {
        let literals = pattern.bytes().filter(|&byte| byte != b'*').count();
        if state + literals + 1 > COMM_STATES {
            return Err(Failure::Usage(format!(
                "--comm: the patterns are longer than {COMM_STATES} characters together"
            )));
        }
        automaton.start |= 1 << state;
        for byte in pattern.bytes() {
            let bit = 1u64 << state;
            match byte {
                b'*' => {
                    automaton.star |= bit;
                    continue;
                }
                b'?' => automaton.accept.iter_mut().for_each(|accept| *accept |= bit),
                literal => automaton.accept[usize::from(literal)] |= bit,
            }
            state += 1;
        }
        automaton.end |= 1 << state;
        state += 1;
    }
    Ok(automaton)
}

fn comm_bytes(patterns: &CommPatterns) -> Vec<u8> {
    let CommPatterns { accept, star, start, end } = patterns;
    accept.iter().chain([star, start, end]).flat_map(|word| word.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], comm: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let automaton = comm_patterns(&patterns).unwrap();
        let states = comm.bytes().fold(automaton.start, |states, byte| {
            CommPatterns::step(states, automaton.accept[usize::from(byte)], automaton.star)
        });
        states & automaton.end != 0
    }

    #[test]
    fn command_name_patterns() {
        for (pattern, comm, expected) in [
            ("cat", "cat", true),
            ("cat", "cats", false),
            ("cat", "ca", false),
            ("c?t", "cut", true),
            ("c?t", "ct", false),
            ("*", "", true),
            ("*", "anything", true),
            ("kworker/*", "kworker/0:1", true),
            ("kworker/*", "kworker", false),
            ("*sh", "bash", true),
            ("*sh", "shell", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(&[pattern], comm), expected, "{pattern:?} on {comm:?}");
        }
        assert!(matches(&["cat", "dog*"], "doggy"));
        assert!(matches(&["cat", "dog*"], "cat"));
        assert!(!matches(&["cat", "dog*"], "catdog"));
    }

    #[test]
    fn too_many_patterns_are_a_usage_error() {
        let patterns: Vec<String> = (0..5).map(|_| "0123456789abcde".to_owned()).collect();
        assert!(matches!(comm_patterns(&patterns), Err(Failure::Usage(_))));
    }
}
