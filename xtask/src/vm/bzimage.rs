//! The BTF of a kernel image, without booting it: out of the ELF file that is compressed in it
//! (the kernel's Documentation/arch/x86/boot.rst describes the header).

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use object::Endianness;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

use crate::process;

const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// What an image has in its header when it does not say how many sectors setup takes.
const DEFAULT_SETUP_SECTORS: u8 = 4;

/// How a payload begins, and the command that unpacks it.
const COMPRESSIONS: &[(&[u8], &[&str])] = &[
    (b"\x1f\x8b", &["gzip", "-dc"]),
    (b"\xfd7zXZ", &["xz", "-dc"]),
    (b"\x28\xb5\x2f\xfd", &["zstd", "-dc"]),
    (b"\x02\x21\x4c\x18", &["lz4", "-dc"]),
];

/// The BTF blob of a bzImage; `scratch` is a folder for a temporary file.
pub fn btf(image: &[u8], scratch: &Path) -> Result<Vec<u8>> {
    let vmlinux = decompress(payload(image)?, scratch)?;
    let elf = ElfFile64::<Endianness>::parse(&*vmlinux)?;
    let section = elf.section_by_name(".BTF").context("the kernel has no BTF")?;
    Ok(section.data()?.to_vec())
}

fn payload(image: &[u8]) -> Result<&[u8]> {
    ensure!(image.get(MAGIC..MAGIC + 4) == Some(b"HdrS"), "no bzImage");
    let setup = match image[SETUP_SECTORS] {
        0 => DEFAULT_SETUP_SECTORS,
        sectors => sectors,
    };
    let start = (usize::from(setup) + 1) * SECTOR + number(image, PAYLOAD_OFFSET)?;
    let end = start + number(image, PAYLOAD_LENGTH)?;
    image.get(start..end).context("the bzImage is cut short")
}

fn number(image: &[u8], offset: usize) -> Result<usize> {
    let bytes = image.get(offset..offset + 4).context("the bzImage is cut short")?;
    Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
}

fn decompress(payload: &[u8], scratch: &Path) -> Result<Vec<u8>> {
    let known = COMPRESSIONS.iter().find(|(magic, _)| payload.starts_with(magic));
    let Some((_, [program, arguments @ ..])) = known else {
        bail!("the kernel is compressed in an unknown way");
    };
    // All but gzip, which has it already, are followed by the size of the content.
    let size = if *program == "gzip" { 0 } else { 4 };
    let file = scratch.join("payload");
    fs::write(&file, &payload[..payload.len().saturating_sub(size)])?;
    let vmlinux =
        process::read_bytes(Command::new(program).args(arguments).stdin(Stdio::from(File::open(&file)?)));
    fs::remove_file(&file)?;
    vmlinux
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(setup_sectors: u8, payload: &[u8]) -> Vec<u8> {
        let start = (usize::from(setup_sectors) + 1) * SECTOR + 8;
        let mut image = vec![0; start];
        image[SETUP_SECTORS] = setup_sectors;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET] = 8;
        image[PAYLOAD_LENGTH] = payload.len() as u8;
        image.extend(payload);
        image.extend(b"behind");
        image
    }

    #[test]
    fn the_payload_is_where_the_header_says() {
        assert_eq!(payload(&image(27, b"compressed")).unwrap(), b"compressed");
    }

    #[test]
    fn what_is_no_whole_bzimage_is_refused() {
        assert!(payload(b"MZ").is_err());
        let image = image(27, b"compressed");
        assert!(payload(&image[..image.len() - 8]).is_err());
    }
}
