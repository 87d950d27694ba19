//! The README's section "In CI", as someone pastes it: both jobs pass where they should, and fail where
//! they must.

use std::{
    env, fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::Path,
};

use crate::harness::{
    Context, Gate, Output, Result, Scratch, Suite, Test, Value, Workload, ensure, equal, json, load, sys,
    tcp, tool, tracer,
};

pub const SUITE: Suite = Suite {
    name: "cli::ci",
    standard: None,
    tests: &[
        Test::new("tests_that_must_not_touch_the_network", tests_that_must_not_touch_the_network),
        Test::new("a_build_that_must_not_read_outside", a_build_that_must_not_read_outside),
    ],
    workloads: &[Workload::new("ci-connect", ci_connect)],
};

const README: &str = include_str!("../../../README.md");
/// The jobs among the section's blocks: the first tells how to install.
const NETWORK: usize = 1;
const BUILD: usize = 2;

/// The section's indented blocks, without their indent.
fn block(number: usize) -> Result<String> {
    let (_, section) = README.split_once("\n## In CI\n").context("the README has no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(code), Some(block)) => *block += &format!("{code}\n"),
            (None, Some(block)) if !block.is_empty() => blocks.push(String::new()),
            _ => {}
        }
    }
    blocks.into_iter().nth(number).filter(|block| !block.is_empty()).context("the section has no such block")
}

/// Pastes a job into a shell, in a folder where a program does this.
fn job(number: usize, folder: &Path, program: &str, does: &str) -> Result<Output> {
    let script = folder.join(program);
    fs::write(&script, format!("#!/bin/sh\n{does}\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let tracer_folder = tool::path()?.parent().context("tracer lies in a folder")?.display().to_string();
    let path = format!("{tracer_folder}:{}", env::var("PATH").unwrap_or_default());
    let pasted = format!("cd {}\n{}", folder.display(), block(number)?);
    tracer(&["-c", &pasted]).program(Path::new("/bin/sh")).env("PATH", path).output()
}

/// Connects to an address, in a network of its own that has it.
fn ci_connect(gate: &mut Gate, args: &[String]) -> Result<Value> {
    let address = args.first().context("which address?")?.parse()?;
    gate.wait(&json!({}))?;
    sys::call(libc::SYS_unshare, &[libc::CLONE_NEWNET as usize]).map_err(io::Error::from_raw_os_error)?;
    set_address(address)?;
    let listener = TcpListener::bind((address, 0))?;
    drop(TcpStream::connect(listener.local_addr()?)?);
    Ok(json!({}))
}

/// Gives the loopback device an address, and brings it up.
fn set_address(address: Ipv4Addr) -> Result<()> {
    let socket = tcp::socket(address.into(), 0)?;
    let mut name = [0; libc::IFNAMSIZ];
    name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    // A sockaddr_in: two bytes of a port, then the address.
    let mut sa_data = [0; 14];
    for (to, from) in sa_data[2..6].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    let address = libc::sockaddr { sa_family: libc::AF_INET as u16, sa_data };
    let address = libc::__c_anonymous_ifr_ifru { ifru_addr: address };
    let flags = libc::__c_anonymous_ifr_ifru { ifru_flags: (libc::IFF_UP | libc::IFF_RUNNING) as i16 };
    for (request, value) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFFLAGS, flags)] {
        let request_of_lo = libc::ifreq { ifr_name: name, ifr_ifru: value };
        let args = [socket.as_raw_fd() as usize, request as usize, (&raw const request_of_lo) as usize];
        sys::call(libc::SYS_ioctl, &args).map_err(io::Error::from_raw_os_error)?;
    }
    Ok(())
}

fn connect_to(address: &str) -> Result<String> {
    let program = load::this_program()?;
    Ok(format!("{} {} ci-connect {address} >/dev/null </dev/null", program.display(), load::WORD))
}

/// The job has failed for what it forbids, and says in a line what that was.
fn is_caught(job: &Output, part: &str) -> Result<()> {
    equal("exit code", job.code, 6).context(job.to_string())?;
    let told: Vec<&str> = job.stderr.lines().filter(|line| line.contains("--forbid")).collect();
    ensure!(told.len() == 1 && job.stderr.contains(part), "not told: {job}");
    Ok(())
}

fn tests_that_must_not_touch_the_network() -> Result<()> {
    let scratch = Scratch::new()?;
    let run = |does: &str| job(NETWORK, scratch.path(), "run-tests", does);
    run(&connect_to("127.0.0.1")?)?.ok()?;
    is_caught(&run(&connect_to("192.0.2.1")?)?, "daddr=192.0.2.1")?;
    // Tests that fail anyway are told as such.
    equal("exit code", run("exit 7")?.code, 7)
}

fn a_build_that_must_not_read_outside() -> Result<()> {
    let (scratch, elsewhere) = (Scratch::new()?, Scratch::new()?);
    let secret = elsewhere.file("secret");
    for file in [&scratch.file("input"), &secret] {
        fs::write(file, "content\n")?;
    }
    let run = |does: &str| job(BUILD, scratch.path(), "build", does);
    run("cat input > output")?.ok()?;
    is_caught(&run(&format!("cat input {secret} > output"))?, &format!("path={secret}"))?;
    // What could not be opened was not read.
    run(&format!("cat input {secret}.none > output 2>&1; true"))?.ok()?;
    equal("exit code", run("exit 7")?.code, 7)
}
