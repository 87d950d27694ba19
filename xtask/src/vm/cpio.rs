//! An archive in the format of the kernel's initramfs ("newc", the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst).

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

/// An entry but for its name and content; all belong to root.
#[derive(Default)]
struct Header {
    mode: u32,
    device: (u32, u32),
}

impl Archive {
    pub fn directory(&mut self, path: &str) {
        self.add(path, &Header { mode: DIRECTORY | 0o755, ..Header::default() }, b"");
    }

    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.add(path, &Header { mode: FILE | permissions, ..Header::default() }, content);
    }

    pub fn symlink(&mut self, path: &str, target: &str) {
        let header = Header { mode: SYMLINK | 0o777, ..Header::default() };
        self.add(path, &header, target.as_bytes());
    }

    pub fn character_device(&mut self, path: &str, device: (u32, u32)) {
        self.add(path, &Header { mode: CHARACTER_DEVICE | 0o600, device }, b"");
    }

    /// The archive with its end.
    pub fn finish(mut self) -> Vec<u8> {
        self.add(TRAILER, &Header::default(), b"");
        self.bytes
    }

    fn add(&mut self, path: &str, header: &Header, content: &[u8]) {
        let inode = self.entries;
        self.entries += 1;
        let links = 1;
        let (major, minor) = header.device;
        let (content_size, name_size) = (content.len() as u32, path.len() as u32 + 1);
        let fields = [inode, header.mode, 0, 0, links, 0, content_size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend(MAGIC.bytes());
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    /// Names and contents end on a multiple of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_header_a_name_and_a_content() {
        let mut archive = Archive::default();
        archive.file("init", 0o755, b"hello");
        let bytes = archive.finish();
        let header = "070701\
            00000000000081ed0000000000000000000000010000000000000005\
            00000000000000000000000000000000\
            0000000500000000";
        assert_eq!(&bytes[..110], header.as_bytes());
        assert_eq!(&bytes[110..116], b"init\0\0");
        assert_eq!(&bytes[116..124], b"hello\0\0\0");
        assert_eq!(&bytes[124..130], MAGIC.as_bytes());
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn a_device_has_its_numbers() {
        let mut archive = Archive::default();
        archive.character_device("dev/console", (5, 1));
        let bytes = archive.finish();
        assert_eq!(&bytes[14..22], b"00002180");
        assert_eq!(&bytes[78..94], b"0000000500000001");
    }
}
