//! Embeds the kernel objects that `cargo xtask build` left in `$TRACER_OBJECTS`, and the tools' pages.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=TRACER_OBJECTS");
    let folder = PathBuf::from(env::var("TRACER_OBJECTS")?);
    println!("cargo::rerun-if-changed={}", folder.display());
    let objects = files(&folder, "o").unwrap_or_default();
    if objects.is_empty() {
        return Err("there are no kernel objects yet: run `cargo xtask build`".into());
    }
    let entry = |name: &str, file: &Path| format!("({name:?}, object!({file:?}))");
    write_table("objects.rs", "static OBJECTS: &[(&str, &[u8])]", &objects, entry)?;

    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../docs/tools");
    println!("cargo::rerun-if-changed={}", folder.display());
    let entry = |name: &str, file: &Path| format!("({name:?}, include_str!({file:?}))");
    write_table("pages.rs", "static PAGES: &[(&str, &str)]", &files(&folder, "md")?, entry)
}

/// Writes a source file with a table of files, by their names.
fn write_table(
    file: &str,
    declaration: &str,
    files: &[PathBuf],
    entry: impl Fn(&str, &Path) -> String,
) -> Result<(), Box<dyn Error>> {
    let mut source = format!("{declaration} = &[\n");
    for path in files {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(source, "    {},", entry(&name, &path.canonicalize()?))?;
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join(file), source)?;
    Ok(())
}

/// The files of a folder with this extension, by name.
fn files(folder: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    Ok(files)
}
