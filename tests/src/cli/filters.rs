//! The filters that every tool has, with opensnoop.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write, pipe},
    sync::mpsc::channel,
    thread,
};

use crate::harness::{
    Cgroup, Context, Gate, Load, Result, Scratch, Suite, Test, Tool, Value, Workload, ensure, equal, json,
    load::NOBODY, rows, sys, tool, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::filters",
    standard: None,
    tests: &[
        Test::new("several_pids", several_pids),
        Test::new("threads", threads),
        Test::new("descendants", descendants),
        Test::new("descendants_that_are_there", descendants_that_are_there),
        Test::new("names", names),
        Test::new("cgroups", cgroups),
        Test::new("containers", containers),
        Test::new("cgroups_and_containers_of_rows", cgroups_and_containers_of_rows),
        Test::new("cgroups_and_containers_of_stacks", cgroups_and_containers_of_stacks),
        Test::new("filters_add_up", filters_add_up),
    ],
    workloads: &[
        Workload::new("open-tree", open_tree),
        Workload::new("open-late-tree", open_late_tree),
        Workload::new("open-threads", open_threads),
    ],
};

fn open() {
    let args = [libc::AT_FDCWD as usize, c"/dev/null".as_ptr() as usize, 0, 0];
    if let Ok(fd) = sys::call(libc::SYS_openat, &args) {
        let _ = sys::close(fd);
    }
}

/// The processes in rows.
fn pids(rows: &[Value]) -> BTreeSet<u64> {
    rows.iter().map(|row| rows::number(row, "pid")).collect()
}

fn set(account: &Value, key: &str) -> BTreeSet<u64> {
    account[key].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

fn several_pids() -> Result<()> {
    let mut loads = (0..3).map(|_| Load::start(&["opens", "5"])).collect::<Result<Vec<_>>>()?;
    let chosen = format!("{},{}", loads[0].id, loads[2].id);
    let tool = Tool::json("opensnoop", &["-p", &chosen])?;
    for load in &mut loads {
        load.finish()?;
    }
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("rows", rows.len(), 10)?;
    equal("pids", pids(&rows), BTreeSet::from([loads[0].id.into(), loads[2].id.into()]))
}

/// Three threads, which are there before the gate, open after it.
fn open_threads(gate: &mut Gate, _: &[String]) -> Result<Value> {
    let (tell, tids) = channel();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (go, wait) = channel::<()>();
            let tell = tell.clone();
            let thread = thread::spawn(move || {
                let _ = tell.send(sys::tid());
                let _ = wait.recv();
                open();
            });
            (go, thread)
        })
        .collect();
    let tids: Vec<u32> = tids.iter().take(threads.len()).collect();
    gate.wait(&json!({ "tids": tids }))?;
    for (go, thread) in threads {
        go.send(())?;
        thread.join().ok().context("a thread")?;
    }
    open();
    Ok(json!({}))
}

fn threads() -> Result<()> {
    let mut load = Load::start(&["open-threads"])?;
    let tids = load.setup["tids"].as_array().cloned().context("no tids")?;
    let tool = Tool::json("opensnoop", &["-t", &format!("{},{}", tids[0], tids[2])])?;
    load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    let want = [&tids[0], &tids[2]].map(|tid| json!({ "pid": load.id, "tid": tid }));
    rows::are_in_any_order(&rows, &want, &["tid"])
}

/// Opens, as do a child and its child.
fn tree(gate: &mut Gate, is_late: bool) -> Result<Value> {
    let (mut pids, mut tell) = pipe()?;
    let (wait, go) = pipe()?;
    if !is_late {
        gate.wait(&json!({}))?;
    }
    let child = sys::fork(|| {
        let grandchild = sys::fork(|| {
            let _ = sys::readable(&wait, crate::harness::deadline());
            open();
            0
        });
        let _ = tell.write_all(&grandchild.as_ref().unwrap_or(&0).to_ne_bytes());
        let _ = sys::readable(&wait, crate::harness::deadline());
        open();
        grandchild.and_then(sys::wait).map_or(1, |_| 0)
    })?;
    let mut grandchild = [0; 4];
    pids.read_exact(&mut grandchild)?;
    if is_late {
        gate.wait(&json!({}))?;
    }
    (&go).write_all(b"go")?;
    open();
    equal("the child's status", sys::wait(child)?, 0)?;
    Ok(json!({ "pids": [sys::pid(), child, i32::from_ne_bytes(grandchild)] }))
}

fn open_tree(gate: &mut Gate, _: &[String]) -> Result<Value> {
    tree(gate, false)
}

/// The same with children that are there before the gate.
fn open_late_tree(gate: &mut Gate, _: &[String]) -> Result<Value> {
    tree(gate, true)
}

fn expect_tree(name: &str) -> Result<()> {
    let mut load = Load::start(&[name])?;
    let tool = Tool::json("opensnoop", &["-f", "-p", &load.pid()])?;
    let account = load.finish()?;
    let rows = tool.interrupt()?.ok()?.rows()?;
    equal("pids", pids(&rows), set(&account, "pids"))?;
    equal("rows", rows.len(), 3)
}

fn descendants() -> Result<()> {
    expect_tree("open-tree")?;
    let mut load = Load::start(&["open-tree"])?;
    let tool = Tool::json("opensnoop", &["-p", &load.pid()])?;
    load.finish()?;
    equal("pids without -f", pids(&tool.interrupt()?.ok()?.rows()?), BTreeSet::from([load.id.into()]))
}

fn descendants_that_are_there() -> Result<()> {
    expect_tree("open-late-tree")
}

fn names() -> Result<()> {
    // What to ask for, and whether `name-one` and `name-two` are meant.
    let table = [
        ("name-one", [true, false]),
        ("name-*", [true, true]),
        ("name-?wo", [false, true]),
        ("*e", [true, false]),
        ("ame-one", [false, false]),
        ("name-o", [false, false]),
        ("*", [true, true]),
    ];
    for (glob, meant) in table {
        let mut loads = ["name-one", "name-two"].map(|name| Load::plan(&["opens", "3"]).named(name).start());
        let tool = Tool::json("opensnoop", &["-n", glob])?;
        for load in loads.iter_mut().flatten() {
            load.finish()?;
        }
        let rows = tool.interrupt()?.ok()?.rows()?;
        for (load, meant) in loads.into_iter().zip(meant) {
            let seen = rows::of_pid(&rows, load?.id).len();
            equal(&format!("rows with {glob}"), seen, if meant { 3 } else { 0 })?;
        }
    }
    Ok(())
}

fn cgroups() -> Result<()> {
    let group = Cgroup::new("group")?;
    let below = group.child("below")?;
    let mut loads = (0..4).map(|_| Load::start(&["opens", "5"])).collect::<Result<Vec<_>>>()?;
    group.add(loads[0].id)?;
    below.add(loads[1].id)?;
    let tool = Tool::json("opensnoop", &["--cgroup", group.arg()])?;
    // A cgroup that is not there yet is a descendant just as well.
    let late = group.child("late")?;
    late.add(loads[2].id)?;
    for load in &mut loads {
        load.finish()?;
    }
    let rows = tool.interrupt()?.ok()?.rows()?;
    let inside: BTreeSet<u64> = loads[..3].iter().map(|load| load.id.into()).collect();
    equal("pids", pids(&rows), inside)?;
    equal("rows", rows.len(), 15)
}

/// Two containers as docker leaves its traces: cgroups by their ids, a workload in each, and a file with the
/// second one's name.
struct Docker {
    start: String,
    ids: [String; 2],
    loads: Vec<Load>,
    // Dropped after what is in them.
    _groups: Vec<Cgroup>,
    scratch: Scratch,
}

impl Docker {
    fn new(load: &[&str]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let start = format!("{:08x}", sys::pid());
        let ids = ["a0000000", "b0000000"].map(|end| start.repeat(7) + end);
        let (mut groups, mut loads) = (Vec::new(), Vec::new());
        for id in &ids {
            let group = Cgroup::new(&format!("docker-{id}.scope"))?;
            let inside = group.child("inside")?;
            let load = Load::start(load)?;
            inside.add(load.id)?;
            groups.extend([inside, group]);
            loads.push(load);
        }
        let state = scratch.file("lib/docker/containers/one");
        fs::create_dir_all(&state)?;
        let config = json!({ "ID": ids[1], "Name": "/web" });
        fs::write(format!("{state}/config.v2.json"), config.to_string())?;
        fs::create_dir_all("/var/lib")?;
        Ok(Self { start, ids, loads, _groups: groups, scratch })
    }

    /// Where the file is that has the name.
    fn run(&self, words: &[&str]) -> tool::Run {
        tracer(words).with(&self.scratch.file("lib"), "/var/lib")
    }

    fn pids(&self) -> String {
        self.loads.iter().map(Load::pid).collect::<Vec<_>>().join(",")
    }

    /// What rows tell of where the one workload is.
    fn place(&self, index: usize, name: &str) -> Value {
        let cgroup = format!("/tracer-tests-{}-docker-{}.scope/inside", sys::pid(), self.ids[index]);
        json!({ "pid": self.loads[index].id, "cgroup": cgroup, "container": name })
    }

    fn places(&self) -> [Value; 2] {
        [self.place(0, &self.ids[0][..12]), self.place(1, "web")]
    }

    fn finish(&mut self) -> Result<()> {
        self.loads.iter_mut().try_for_each(|load| load.finish().map(drop))
    }
}

fn containers() -> Result<()> {
    let mut docker = Docker::new(&["opens", "5"])?;
    let run = |docker: &Docker, name: &str| docker.run(&["opensnoop", "--json", "--container", name]);
    let tools = [run(&docker, &docker.ids[0][..60]).start()?, run(&docker, "web").start()?];
    docker.finish()?;
    for (tool, load) in tools.into_iter().zip(&docker.loads) {
        let rows = tool.interrupt()?.ok()?.rows()?;
        equal("pids", pids(&rows), BTreeSet::from([load.id.into()]))?;
        equal("rows", rows.len(), 5)?;
    }
    for (name, told) in [("nothing", "web"), (&*docker.start, &*docker.ids[0])] {
        let output = run(&docker, name).output()?;
        ensure!(output.fails(2)?.contains(told), "which there are: {output}");
    }
    Ok(())
}

fn cgroups_and_containers_of_rows() -> Result<()> {
    let mut docker = Docker::new(&["opens", "5"])?;
    let pids = docker.pids();
    let columns = ["--json", "--columns", "pid,cgroup,container"];
    let tools = [
        docker.run(&[&["opensnoop", "-p", &pids], &columns[..]].concat()).start()?,
        docker.run(&[&["opensnoop", "--filter", "container == \"web\""], &columns[..]].concat()).start()?,
        docker.run(&[&["syscount", "-P", "-p", &pids], &columns[..]].concat()).start()?,
    ];
    docker.finish()?;
    // By the time of the summary, the processes are gone.
    let [all, named, counted] = tools.map(|tool| tool.interrupt()?.ok()?.rows());
    let wanted = docker.places();
    let each = |index: usize, count: usize| vec![wanted[index].clone(); count];
    rows::are_in_any_order(&all?, &[each(0, 5), each(1, 5)].concat(), &["pid"])?;
    rows::are_in_any_order(&named?, &each(1, 5), &["pid"])?;
    rows::are_in_any_order(&counted?, &wanted, &["pid"])
}

/// Each stack's row has them, and a tree can be of one container.
fn cgroups_and_containers_of_stacks() -> Result<()> {
    let mut docker = Docker::new(&["burners", "4"])?;
    let pids = docker.pids();
    let profile =
        |args: &[&str]| docker.run(&[&["profile", "--hz", "4999", "-p", &pids], args].concat()).start();
    let all = profile(&["--json", "--columns", "pid,cgroup,container", "--expect", "cgroup ~ '/inside$'"])?;
    let trees = [("web", false), ("db", true)].map(|(name, is_empty)| {
        Ok::<_, anyhow::Error>((
            profile(&["--folded", "--filter", &format!("container == {name}")])?,
            is_empty,
        ))
    });
    docker.finish()?;
    let rows = all.interrupt()?.ok()?.rows()?;
    let places = docker.places();
    for place in &places {
        ensure!(!rows::with(&rows, "pid", &place["pid"]).is_empty(), "nothing of {place}: {rows:?}");
    }
    for mut row in rows {
        row.as_object_mut().context("no row")?.remove("ts");
        ensure!(places.contains(&row), "not where it is: {row}");
    }
    for tree in trees {
        let (tool, is_empty) = tree?;
        equal("whether nothing is there", tool.interrupt()?.ok()?.stdout.is_empty(), is_empty)?;
    }
    Ok(())
}

fn filters_add_up() -> Result<()> {
    let mut meant = Load::plan(&["opens", "3"]).named("meant").user(NOBODY).start()?;
    let mut others = [
        Load::plan(&["opens", "3"]).named("meant").start()?,
        Load::plan(&["opens", "3"]).named("other").user(NOBODY).start()?,
        Load::plan(&["opens", "3"]).named("meant").user(NOBODY).start()?,
    ];
    let all = [&[&meant][..], &others[..2].iter().collect::<Vec<_>>()].concat();
    let list = all.iter().map(|load| load.pid()).collect::<Vec<_>>().join(",");
    let user = NOBODY.to_string();
    let tool = Tool::json("opensnoop", &["-p", &list, "-n", "meant", "-u", &user])?;
    for load in others.iter_mut().chain([&mut meant]) {
        load.finish()?;
    }
    let rows = tool.interrupt()?.ok()?.rows()?;
    ensure!(rows.iter().all(|row| row["uid"] == NOBODY), "the users are {rows:?}");
    equal("pids", pids(&rows), BTreeSet::from([meant.id.into()]))
}
