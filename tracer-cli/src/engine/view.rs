//! The flags that say what is printed of a run's rows, and how.

use std::path::PathBuf;

use clap::{Args, builder::TypedValueParser};
use serde_json::json;

use super::{
    judge::{self, Judge},
    origin,
};
use crate::{
    error::Failure,
    output::{Column, Format, Layout, Options, TimeColumn},
};

/// Flags that every tool takes, and the replay of what one has recorded.
#[derive(Args, Clone, Debug)]
pub struct View {
    /// Form of the output
    #[arg(short = 'F', long, value_name = "FORMAT", value_parser = names(Format::ALL, Format::name), default_value = "table", help_heading = "Output")]
    format: Format,
    /// Same as --format json
    #[arg(long, conflicts_with = "format", help_heading = "Output")]
    json: bool,
    /// Write to a file instead of stdout (-: stdout)
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Add a time column
    #[arg(short = 'T', long, value_name = "FORM", value_parser = names(TimeColumn::ALL, TimeColumn::name),
        num_args = 0..=1, require_equals = true, default_value = "off", default_missing_value = "wall", help_heading = "Output")]
    time: TimeColumn,
    /// Columns to print, in this order (pid,comm), or changes to the default (+tid,-fd)
    #[arg(long, value_name = "LIST", allow_hyphen_values = true, help_heading = "Output")]
    columns: Option<String>,
    /// Tell which columns there are, and trace nothing
    #[arg(long, help_heading = "Output")]
    pub list_columns: bool,
    /// Print rows of which this is true (latency_us > 10ms && comm ~ "^nginx")
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true, help_heading = "Rows")]
    filter: Option<String>,
    /// End with exit code 6 at the first row of which this is true
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true, help_heading = "Rows")]
    forbid: Vec<String>,
    /// Exit with 6 unless this was true of a row
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true, help_heading = "Rows")]
    expect: Vec<String>,
    /// Leave the header line out
    #[arg(long, help_heading = "Output")]
    no_header: bool,
    /// In a terminal, cut nothing to its width
    #[arg(long, help_heading = "Output")]
    wide: bool,
}

impl View {
    #[must_use]
    pub const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// Whether rows show when their events were.
    #[must_use]
    pub fn shows_time(&self) -> bool {
        self.format() != Format::Table || self.time != TimeColumn::Off
    }

    #[must_use]
    pub fn options(&self) -> Options {
        Options { format: self.format(), time: self.time, header: !self.no_header, wide: self.wide }
    }

    /// Which of a tool's columns are printed.
    ///
    /// # Errors
    /// If the tool has not those that are wanted.
    pub fn layout(&self, columns: &[Column]) -> Result<Layout, Failure> {
        if columns.is_empty() && self.columns.is_some() {
            return Err(Failure::Usage("--columns: histograms have none".to_owned()));
        }
        Layout::new(columns, self.format(), self.columns.as_deref())
            .map_err(|error| Failure::Usage(format!("--columns: {error}")))
    }

    /// What judges rows of these columns, if anything is asked of them.
    ///
    /// # Errors
    /// If a condition is none for these columns.
    pub fn judge(&self, columns: Vec<Column>) -> Result<Option<Judge>, Failure> {
        if self.filter.is_none() && self.forbid.is_empty() && self.expect.is_empty() {
            return Ok(None);
        }
        Judge::new(columns, self.filter.as_deref(), &self.forbid, &self.expect).map(Some)
    }

    /// Judges an output that is empty, whatever its columns would be.
    ///
    /// # Errors
    /// If there was to be something.
    pub fn nothing_is_expected(&self) -> Result<(), Failure> {
        judge::verdict(&self.expect)
    }

    /// Whether rows may need the columns of [`super::origin`]: their names are somewhere in what is asked.
    #[must_use]
    pub fn asks_for_origin(&self) -> bool {
        let asked = self.columns.iter().chain(&self.filter).chain(&self.forbid).chain(&self.expect);
        asked.into_iter().any(|text| origin::NAMES.iter().any(|name| text.contains(name)))
    }

    /// What `--list-columns` prints.
    #[must_use]
    pub fn list(&self, columns: &[Column]) -> String {
        match self.format() {
            Format::Json => json_list(columns),
            _ => columns.iter().map(|column| list_line(column) + "\n").collect(),
        }
    }
}

fn json_list(columns: &[Column]) -> String {
    let columns: Vec<_> = columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.kind.name(),
                "unit": column.unit,
                "description": column.about,
                "in_table": column.is_in(Format::Table),
                "in_json": column.is_in(Format::Json),
            })
        })
        .collect();
    format!("{}\n", json!({ "columns": columns }))
}

/// A column that the default table leaves out is in parentheses.
fn list_line(column: &Column) -> String {
    let name = column.name;
    let name = if column.is_in(Format::Table) { name.to_owned() } else { format!("({name})") };
    let unit = column.unit.map(|unit| format!(" [{unit}]")).unwrap_or_default();
    format!("  {name:<15} {:<8} {}{unit}", column.kind.name(), column.about)
}

fn names<T>(all: &'static [T], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + std::str::FromStr + 'static,
    <T as std::str::FromStr>::Err: std::error::Error + Send + Sync + 'static,
{
    clap::builder::PossibleValuesParser::new(all.iter().map(|&value| name(value)))
        .try_map(|text| text.parse::<T>())
}

/// The columns of a tool's rows, for its help.
#[must_use]
pub fn columns_help(columns: &[Column]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = columns.iter().map(list_line).collect();
    format!("Columns (those in parentheses are left out of the table):\n{}\n", lines.join("\n"))
}
