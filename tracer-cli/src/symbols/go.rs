//! Go's own table of functions, which a program keeps even when it is stripped: Go's runtime needs it.
//!
//! Its layout is that of Go's `debug/gosym`: <https://github.com/golang/go/blob/master/src/debug/gosym/pclntab.go>.

use std::{fs::File, path::Path};

use object::{Object as _, ObjectSection as _, ObjectSegment as _, ReadCache};

/// A program's functions.
pub struct GoTable {
    data: Vec<u8>,
    form: Form,
    /// Address, place in the file and length of what is mapped.
    segments: Vec<(u64, u64, u64)>,
}

/// Where the table has what.
struct Form {
    functions: usize,
    /// Where the list of functions begins, which their descriptions are counted from.
    list: usize,
    /// Where names are counted from.
    names: usize,
    /// Bytes of an address in the list.
    width: usize,
    /// What addresses are counted from.
    text: u64,
}

impl GoTable {
    /// Reads a program's table; none if it has none, or one of a form that is not known.
    pub fn read(path: &Path) -> Option<Self> {
        let cache = ReadCache::new(File::open(path).ok()?);
        let file = object::File::parse(&cache).ok()?;
        let section = [".gopclntab", ".data.rel.ro.gopclntab"];
        let section = section.into_iter().find_map(|name| file.section_by_name(name))?;
        let data = section.data().ok()?.to_vec();
        let text = file.section_by_name(".text").map_or(0, |text| text.address());
        let segments = file.segments().map(|segment| {
            let (offset, length) = segment.file_range();
            (segment.address(), offset, length)
        });
        Self::new(data, text, segments.collect())
    }

    fn new(data: Vec<u8>, text: u64, segments: Vec<(u64, u64, u64)>) -> Option<Self> {
        let form = Form::of(&data, text)?;
        Some(Self { data, form, segments })
    }

    /// The name of the function at an offset in the file.
    pub fn name(&self, offset: u64) -> Option<String> {
        let (address, start, _) = self
            .segments
            .iter()
            .find(|(_, start, length)| offset.checked_sub(*start).is_some_and(|inside| inside < *length))?;
        let address = address.checked_add(offset - start)?.checked_sub(self.form.text)?;
        let after = self.first_after(address)?;
        // The last entry is where the functions end.
        if after == 0 || after > self.form.functions {
            return None;
        }
        let Form { list, names, width, .. } = self.form;
        let described = number(&self.data, self.entry(after - 1).checked_add(width)?, width)? as usize;
        // A description begins with the address.
        let name = number(&self.data, list.checked_add(described)?.checked_add(width)?, 4)? as usize;
        let name = self.data.get(names.checked_add(name)?..)?;
        let name = name.split(|&byte| byte == 0).next().filter(|name| !name.is_empty())?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    const fn entry(&self, index: usize) -> usize {
        self.form.list + index * 2 * self.form.width
    }

    /// The index of the first entry beyond an address.
    fn first_after(&self, address: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.form.functions + 1);
        while low < high {
            let middle = low.midpoint(high);
            if number(&self.data, self.entry(middle), self.form.width)? <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low)
    }
}

impl Form {
    /// By the table's first word, which changed with Go 1.2, 1.16, 1.18 and 1.20.
    fn of(data: &[u8], text: u64) -> Option<Self> {
        if *data.get(7)? != 8 {
            return None;
        }
        let word = |index: usize| number(data, 8 + 8 * index, 8);
        let place = |index: usize| word(index).and_then(|word| usize::try_from(word).ok());
        let form = match number(data, 0, 4)? {
            0xffff_fffb => Self { functions: place(0)?, list: 16, names: 0, width: 8, text: 0 },
            0xffff_fffa => {
                Self { functions: place(0)?, list: place(6)?, names: place(2)?, width: 8, text: 0 }
            }
            0xffff_fff0 | 0xffff_fff1 => {
                // Left to the dynamic linker in programs that it may put anywhere.
                let text = word(2).filter(|&start| start != 0).unwrap_or(text);
                Self { functions: place(0)?, list: place(7)?, names: place(3)?, width: 4, text }
            }
            _ => return None,
        };
        // A damaged table must not make numbers overflow.
        (form.functions <= data.len() && form.list <= data.len()).then_some(form)
    }
}

fn number(data: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(width)?)?;
    let mut word = [0; 8];
    word.get_mut(..width)?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of Go 1.20 with two functions, at 0x1000 and 0x1040, which end at 0x1100.
    fn table() -> Vec<u8> {
        const NAMES: usize = 72;
        const LIST: usize = 104;
        let mut data = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        for word in [2, 0, 0x1000, NAMES as u64, 0, 0, 0, LIST as u64] {
            data.extend(word.to_le_bytes());
        }
        data.extend(b"\0main.grow\0runtime.goexit\0");
        data.resize(LIST, 0);
        // The list, and behind it descriptions of an address and a name each.
        for word in [0_u32, 20, 0x40, 28, 0x100, 0, 1, 0x40, 11] {
            data.extend(word.to_le_bytes());
        }
        data
    }

    fn read(data: Vec<u8>) -> Option<GoTable> {
        GoTable::new(data, 0, vec![(0x1000, 0x400, 0x1000)])
    }

    #[test]
    fn functions_have_names() {
        let table = read(table()).unwrap();
        for (offset, name) in [
            (0x3ff, None),
            (0x400, Some("main.grow")),
            (0x43f, Some("main.grow")),
            (0x440, Some("runtime.goexit")),
            (0x4ff, Some("runtime.goexit")),
            (0x500, None),
            (u64::MAX, None),
        ] {
            assert_eq!(table.name(offset).as_deref(), name, "{offset:#x}");
        }
    }

    #[test]
    fn damaged_tables_do_no_harm() {
        let whole = table();
        for at in 0..whole.len() {
            for byte in [0, 0x7f, 0xff] {
                let mut data = whole.clone();
                data[at] = byte;
                if let Some(table) = read(data) {
                    (0x3f0..0x510).for_each(|offset| drop(table.name(offset)));
                }
            }
            if let Some(table) = read(whole[..at].to_vec()) {
                (0x3f0..0x510).for_each(|offset| drop(table.name(offset)));
            }
        }
    }
}
