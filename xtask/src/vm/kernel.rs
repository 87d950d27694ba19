//! The kernels of the matrix: Debian's cloud kernels, unpacked once into the cache folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::bzimage;
use super::modules::{AT_BOOT, LATER, Module};
use crate::apt::{self, Apt, Candidate};
use crate::report;
use crate::scratch::Scratch;
use crate::workspace::Workspace;

/// A series that tracer supports, and the suites that have its kernels.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    pub name: &'static str,
    suites: &'static [&'static str],
}

pub const SERIES: &[Series] = &[
    Series { name: "5.10", suites: &["bullseye", "bullseye-security"] },
    Series { name: "6.1", suites: &["bookworm", "bookworm-security"] },
    Series { name: "6.12", suites: &["trixie", "trixie-security"] },
];

/// Where a kernel's modules are kept: those for every VM, and those for scenarios that load them.
const AT_BOOT_FOLDER: &str = "modules";
const LATER_FOLDER: &str = "later";

/// The files of a kernel in the cache folder.
#[derive(Debug)]
pub struct Kernel {
    pub series: &'static Series,
    folder: PathBuf,
}

impl Series {
    pub fn find(name: &str) -> Option<&'static Self> {
        SERIES.iter().find(|series| series.name == name)
    }

    /// The kernel from the cache, or else from the mirror.
    pub fn require(&'static self, workspace: &Workspace) -> Result<Kernel> {
        let folder = workspace.cache.join("kernels").join(self.name);
        let kernel = Kernel { series: self, folder };
        let btf = btf_folder(workspace).join(format!("{}.btf", self.name));
        if !kernel.is_whole() || !btf.exists() {
            let fetched = self.fetch(workspace, &kernel.folder, &btf);
            fetched.with_context(|| format!("no Debian kernel {} to be had", self.name))?;
        }
        Ok(kernel)
    }

    /// Everything is made in a folder beside and moved when it is whole.
    fn fetch(&self, workspace: &Workspace, folder: &Path, btf: &Path) -> Result<()> {
        report::progress(format!("fetching Debian's cloud kernel {}: a VM boots it", self.name));
        let beside = |what| folder.with_file_name(format!("{}-{what}", self.name));
        let (package, kept) = (Scratch::new(beside("package"))?, Scratch::new(beside("kept"))?);
        let prefix = format!("linux-image-{}.", self.name);
        let apt = Apt::open(&workspace.cache)?;
        let (_, deb) = apt.fetch(self.suites, &prefix, is_cloud_kernel, &package)?;
        apt::unpack(&deb, &package)?;
        keep_files(&package, &kept, btf)?;
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::rename(&*kept, folder).with_context(|| format!("cannot write {}", folder.display()))
    }
}

impl Kernel {
    pub fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The release as uname(1) prints it.
    pub fn release(&self) -> Result<String> {
        Ok(fs::read_to_string(self.release_file())?)
    }

    fn release_file(&self) -> PathBuf {
        self.folder.join("release")
    }

    /// There, with the modules that are wanted today.
    fn is_whole(&self) -> bool {
        let are_kept = AT_BOOT.are_kept(&self.folder.join(AT_BOOT_FOLDER))
            && LATER.are_kept(&self.folder.join(LATER_FOLDER));
        self.release_file().exists() && are_kept
    }

    /// What is loaded when a VM boots, in the order in which that can be done.
    pub fn modules(&self) -> Result<Vec<Module>> {
        let names: Vec<&str> = AT_BOOT.names().collect();
        AT_BOOT.load_order(&self.folder.join(AT_BOOT_FOLDER), &names)
    }

    /// A module that a scenario loads, after what it needs; nothing where it is built in or missing.
    pub fn later(&self, name: &str) -> Result<Vec<Module>> {
        LATER.load_order(&self.folder.join(LATER_FOLDER), &[name])
    }
}

/// The folder of BTF blobs that unit tests read, one for each series.
pub fn btf_folder(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("btf")
}

/// The signed and the unsigned package have the same kernel.
fn is_cloud_kernel(candidate: &Candidate) -> bool {
    let name = candidate.package.trim_end_matches("-unsigned");
    name.ends_with("-cloud-amd64")
}

/// From an unpacked package: the kernel, its BTF and those modules that tests need.
fn keep_files(package: &Path, kept: &Path, btf: &Path) -> Result<()> {
    let image = find_image(&package.join("boot"))?;
    let release = image.to_string_lossy().rsplit_once("vmlinuz-").map(|(_, r)| r.to_owned());
    let release = release.context("the kernel's file name bears no release")?;
    write_btf(&image, kept, btf)?;
    let tree = module_tree(package, &release);
    AT_BOOT.keep(&tree, &kept.join(AT_BOOT_FOLDER))?;
    LATER.keep(&tree, &kept.join(LATER_FOLDER))?;
    fs::rename(&image, kept.join("vmlinuz"))?;
    fs::write(kept.join("release"), release)?;
    Ok(())
}

fn find_image(boot: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(boot)?.filter_map(|entry| Some(entry.ok()?.path()));
    files
        .find(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
        .context("the package holds no kernel")
}

fn write_btf(image: &Path, scratch: &Path, btf: &Path) -> Result<()> {
    let blob = bzimage::btf(&fs::read(image)?, scratch).context("cannot read the kernel's BTF")?;
    let folder = btf.parent().context("BTF blobs lie in a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(btf, blob)?;
    Ok(())
}

/// Packages made before the merge of /usr have it in /lib.
fn module_tree(package: &Path, release: &str) -> PathBuf {
    let merged = package.join("usr/lib/modules").join(release);
    if merged.exists() { merged } else { package.join("lib/modules").join(release) }
}
