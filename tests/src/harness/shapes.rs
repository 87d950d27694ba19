//! Programs of a known shape, which xtask builds in several ways: `tests/programs/shapes.c` tells what they do. A tool
//! must name their functions as far as each allows, and give them their shares.

use std::{
    fs,
    os::unix::{fs::chroot, process::CommandExt},
    path::Path,
    process::Command,
};

use super::{Context, Gate, Load, Result, Scratch, Value, Workload, by_machine, ensure, extra, rows, tool};

/// The C library of those that are not static, which is their dynamic linker too.
const LIBRARY: &str = "lib/ld-musl-x86_64.so.1";

/// What a stack tells of its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// All of them.
    All,
    /// The innermost, as functions keep no frame pointers.
    Innermost,
    /// In which file, and where in it.
    Places,
}

/// A way to build and run the program.
struct Build {
    file: &'static str,
    known: Known,
    /// In a root of its own.
    apart: bool,
}

const BUILDS: [Build; 5] = [
    Build { file: "shapes", known: Known::All, apart: false },
    Build { file: "shapes", known: Known::All, apart: true },
    Build { file: "shapes-static", known: Known::All, apart: false },
    Build { file: "shapes-no-pointers", known: Known::Innermost, apart: false },
    Build { file: "shapes-stripped", known: Known::Places, apart: false },
];

/// Becomes another program, which may be below a root: ROOT PROGRAM ARGS...
pub const BECOME: Workload = Workload::new("become", |_: &mut Gate, words: &[String]| {
    let [root, program, args @ ..] = words else { anyhow::bail!("no program") };
    if root != "/" {
        chroot(root).and_then(|()| std::env::set_current_dir("/")).with_context(|| root.clone())?;
    }
    Err(Command::new(program).args(args).exec()).with_context(|| program.clone())
});

/// Processes of all builds.
pub struct Shapes {
    verb: &'static str,
    loads: Vec<(&'static Build, Load)>,
    _root: Scratch,
}

impl Shapes {
    /// Starts the program in all ways, up to the gate.
    pub fn start(verb: &'static str, rounds: u64) -> Result<Self> {
        let root = Scratch::new()?;
        fs::create_dir(root.path().join("lib"))?;
        fs::copy(Path::new("/").join(LIBRARY), root.path().join(LIBRARY)).context("copying musl")?;
        let (mut loads, pace) = (Vec::new(), by_machine(1, 10));
        for build in &BUILDS {
            let (mut program, mut place) = (extra::file(build.file)?, "/");
            if build.apart {
                fs::copy(&program, root.path().join(build.file))?;
                (program, place) = (Path::new("/").join(build.file), root.arg());
            }
            let words = ["become", place, tool::arg(&program), verb, &rounds.to_string(), &pace.to_string()];
            loads.push((build, Load::start(&words)?));
        }
        Ok(Self { verb, loads, _root: root })
    }

    /// Their process ids, as an argument.
    pub fn pids(&self) -> String {
        self.loads.iter().map(|(_, load)| load.pid()).collect::<Vec<_>>().join(",")
    }

    /// Lets all do what they are to do, at the same time; the accounts of the two functions.
    pub fn finish(&mut self) -> Result<Vec<[u64; 2]>> {
        self.loads.iter_mut().try_for_each(|(_, load)| load.go())?;
        let account = |(_, load): &mut (_, Load)| {
            let account = load.done()?;
            Ok(["seventy", "thirty"].map(|part| rows::number(&account, part)))
        };
        self.loads.iter_mut().map(account).collect()
    }

    /// What rows say of the two functions, by `key`.
    pub fn seen(&self, rows: &[Value], key: &str) -> Result<Vec<[u64; 2]>> {
        let seen = |(build, load): &(&Build, Load)| {
            let seen = build.seen(self.verb, &rows::of_pid(rows, load.id), key);
            seen.with_context(|| format!("{}, apart: {}", build.file, build.apart))
        };
        self.loads.iter().map(seen).collect()
    }

    /// The shares that rows give the functions are those of the accounts, within five points; an emulated machine is
    /// now fast and now slow.
    pub fn have_shares(&self, rows: &[Value], key: &str, accounts: &[[u64; 2]]) -> Result<()> {
        for ((build, load), (seen, account)) in
            self.loads.iter().zip(self.seen(rows, key)?.into_iter().zip(accounts))
        {
            let [got, want] =
                [&seen, account].map(|[seventy, thirty]| *seventy as f64 / (seventy + thirty).max(1) as f64);
            ensure!(
                (got - want).abs() <= by_machine(0.05, 0.1),
                "{}, apart: {}: {seen:?} where {account:?} was expected: {:?}",
                build.file,
                build.apart,
                rows::of_pid(rows, load.id)
            );
        }
        Ok(())
    }
}

impl Build {
    fn seen(&self, verb: &str, rows: &[Value], key: &str) -> Result<[u64; 2]> {
        let stack = |row: &Value| -> Vec<String> {
            let stack = row["user_stack"].as_array().into_iter().flatten();
            stack.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let sum = |is_its: &dyn Fn(&[String]) -> bool| {
            let its: Vec<Value> = rows.iter().filter(|row| is_its(&stack(row))).cloned().collect();
            rows::sum(&its, key)
        };
        let functions = ["seventy", "thirty"].map(|part| format!("{verb}_{part}"));
        let seen = match self.known {
            Known::All => {
                let both = format!("{verb}_both");
                functions.each_ref().map(|function| {
                    let whole = ["main", &both, function].map(str::to_owned);
                    sum(&|stack| stack.ends_with(&whole))
                })
            }
            Known::Innermost => {
                functions.each_ref().map(|function| sum(&|stack| stack.last() == Some(function)))
            }
            Known::Places => {
                // Which of both it is, its caller's place tells, which calls one after the other.
                let start = format!("[{}+0x", self.file);
                let caller = |stack: &[String]| -> Option<String> {
                    let [.., main, both, one] = stack else { return None };
                    [main, both, one].iter().all(|frame| frame.starts_with(&start)).then(|| both.clone())
                };
                let mut places: Vec<String> = rows.iter().filter_map(|row| caller(&stack(row))).collect();
                places.sort();
                places.dedup();
                let [seventy, thirty] = &places[..] else {
                    anyhow::bail!("places of calls: {places:?} in {rows:?}")
                };
                [seventy, thirty].map(|place| sum(&|stack| caller(stack).as_ref() == Some(place)))
            }
        };
        ensure!(seen.iter().all(|weight| *weight > 0), "{seen:?} of {functions:?} in {rows:?}");
        Ok(seen)
    }
}
