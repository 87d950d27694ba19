//! Embeds the kernel objects that `cargo xtask build` left in `$TRACER_OBJECTS`.

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
    let mut objects = object_files(&folder).unwrap_or_default();
    objects.sort();
    if objects.is_empty() {
        return Err("there are no kernel objects yet: run `cargo xtask build`".into());
    }
    let mut source = String::from("static OBJECTS: &[(&str, &[u8])] = &[\n");
    for path in objects {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        writeln!(source, "    ({name:?}, object!({:?})),", path.canonicalize()?)?;
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("objects.rs"), source)?;
    Ok(())
}

fn object_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "o"))
        .collect())
}
