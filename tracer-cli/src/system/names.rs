//! From the names that the kernel side found to paths.

use tracer_common::{
    file_io::{BARE, CUT, Names},
    record::until_nul,
};

/// Appends names, which come from the last to the first, each with its NUL, as a path. One whose
/// names are not the `whole` of it begins with `...` instead of the root.
pub fn join(path: &mut Vec<u8>, names: &[u8], whole: bool) {
    if !whole {
        path.extend_from_slice(b"...");
    }
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()).rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
}

/// Makes `path` the name of a file: its path, or what there is to say of one in no directory.
pub fn write_file(path: &mut Vec<u8>, of: &Names, names: &[u8]) {
    path.clear();
    if of.form != BARE {
        return join(path, names, of.form != CUT);
    }
    let name = until_nul(names);
    match of.mode & libc::S_IFMT {
        libc::S_IFIFO => path.extend_from_slice(b"pipe"),
        libc::S_IFSOCK if name.is_empty() => path.extend_from_slice(b"socket"),
        libc::S_IFSOCK => path.extend_from_slice(&[b"socket:", name].concat()),
        _ => path.extend_from_slice(name),
    }
}

/// The type of a file by its mode. What is no file at all, as an epoll instance, has none.
#[must_use]
pub const fn file_type(mode: u32) -> &'static str {
    match mode & libc::S_IFMT {
        libc::S_IFREG => "file",
        libc::S_IFDIR => "dir",
        libc::S_IFIFO => "pipe",
        libc::S_IFSOCK => "socket",
        libc::S_IFCHR => "chr",
        libc::S_IFBLK => "blk",
        libc::S_IFLNK => "link",
        _ => "anon",
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::file_io::WHOLE;

    use super::*;

    fn file(mode: u32, form: u32, names: &[u8]) -> String {
        let mut path = b"before".to_vec();
        write_file(&mut path, &Names { mode, form }, names);
        String::from_utf8(path).unwrap()
    }

    #[test]
    fn files_have_names() {
        assert_eq!(file(libc::S_IFREG, WHOLE, b"passwd\0etc\0"), "/etc/passwd");
        assert_eq!(file(libc::S_IFREG, CUT, b"b\0a\0"), ".../a/b");
        assert_eq!(file(libc::S_IFDIR, BARE, b"/\0"), "/");
        assert_eq!(file(libc::S_IFIFO, BARE, b"\0"), "pipe");
        assert_eq!(file(libc::S_IFSOCK, BARE, b"TCP\0"), "socket:TCP");
        assert_eq!(file(libc::S_IFREG, BARE, b"memfd:x\0"), "memfd:x");
    }
}
