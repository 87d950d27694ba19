//! The choices of the command line that concern output.

use std::{fmt, str::FromStr};

/// An enumeration whose values have a name each on the command line.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $what:literal $type:ident { $($(#[$variant_meta:meta])* $variant:ident = $name:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $type { $($(#[$variant_meta])* $variant,)* }

        impl $type {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownName { what: $what, names: &[$($name),*] }),
                }
            }
        }
    };
}

/// A name that is none of those an option takes.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("no such {what}; there are {}", names.join(", "))]
pub struct UnknownName {
    what: &'static str,
    names: &'static [&'static str],
}

named! {
    /// The form of the rows.
    "format" Format {
        /// An aligned table, for people and awk.
        #[default]
        Table = "table",
        /// One object a line.
        Json = "json",
        /// RFC 4180, with lines that end in LF.
        Csv = "csv",
        Tsv = "tsv",
    }
}

named! {
    /// The table's time column. The machine formats always have `ts`, in UTC.
    "time column" TimeColumn {
        #[default]
        Off = "off",
        /// `15:04:05.123456`, in the local zone.
        Wall = "wall",
        /// `2026-01-02T15:04:05.123456+01:00`.
        Iso = "iso",
        /// Seconds since the start of the run.
        Rel = "rel",
        /// Seconds since the previous row.
        Delta = "delta",
        /// Seconds since 1970.
        Unix = "unix",
    }
}

/// How rows are printed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub format: Format,
    pub time: TimeColumn,
    /// Whether a header line comes first; JSON has none.
    pub header: bool,
    /// Whether a table's lines may be longer than the terminal.
    pub wide: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { format: Format::default(), time: TimeColumn::default(), header: true, wide: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for &format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        for &time in TimeColumn::ALL {
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn unknown_names_are_told_the_known_ones() {
        let error = "xml".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), "no such format; there are table, json, csv, tsv");
    }
}
