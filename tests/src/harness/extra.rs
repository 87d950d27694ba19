//! What a scenario needs beside this program and a kernel: files that xtask makes, and kernel modules.

use std::{env, fs, os::fd::AsRawFd, path::PathBuf};

use super::{Context, Result, skip, sys};

/// A file that `cargo xtask test` puts beside this program.
pub fn file(name: &str) -> Result<PathBuf> {
    let file = env::current_exe()?.with_file_name("tracer-tests-files").join(name);
    match file.exists() {
        true => Ok(file),
        false => {
            Err(skip(format!("there is no {name}: `cargo xtask test` makes it, with musl-tools and mkfs.*")))
        }
    }
}

/// Sees to it that the kernel has a file system. A VM has the modules of those that are not built in.
pub fn file_system(name: &str) -> Result<()> {
    if !is_known(name)? {
        load_module(name)?;
    }
    match is_known(name)? {
        true => Ok(()),
        false => Err(skip(format!("this kernel has no {name}"))),
    }
}

fn is_known(name: &str) -> Result<bool> {
    let known = fs::read_to_string("/proc/filesystems")?;
    Ok(known.lines().any(|line| line.split('\t').nth(1) == Some(name)))
}

/// Loads a module and what it needs, if there is such a module.
fn load_module(name: &str) -> Result<()> {
    let files = fs::read_to_string(format!("/later/{name}")).unwrap_or_default();
    for file in files.split_whitespace() {
        let module = fs::File::open(format!("/later/{file}"))?;
        let (fd, parameters) = (module.as_raw_fd() as usize, c"".as_ptr() as usize);
        match sys::call(libc::SYS_finit_module, &[fd, parameters, 0]) {
            Ok(_) | Err(libc::EEXIST) => {}
            Err(errno) => {
                let error = std::io::Error::from_raw_os_error(errno);
                return Err(error).with_context(|| format!("loading {file}"));
            }
        }
    }
    Ok(())
}
