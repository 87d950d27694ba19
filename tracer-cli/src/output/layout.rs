//! Which columns of a tool are printed, and in which order.

use super::{
    options::Format,
    schema::{Column, Value},
};

/// Why a list of columns can't be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error("there is no column {name:?}; the columns are {known}")]
    Unknown { name: String, known: String },
    #[error("{0} is there twice")]
    Twice(&'static str),
    #[error("either all of the list bears + or -, or nothing does")]
    Mixed,
    #[error("that leaves no column")]
    Nothing,
}

/// The columns that are printed.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    columns: Vec<Column>,
    /// Which of a row's values each of them shows.
    places: Vec<usize>,
    stacks: usize,
}

impl Layout {
    /// The columns of a list such as `pid,comm`, in its order, or `+ppid,-fd` against what the
    /// format has by default.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(columns: &[Column], format: Format, list: Option<&str>) -> Result<Self, LayoutError> {
        let default = || (0..columns.len()).filter(|&place| columns[place].is_in(format)).collect();
        let places = match list {
            None => default(),
            Some(list) if list.starts_with(['+', '-']) => changed(columns, default(), list)?,
            Some(list) => listed(columns, list)?,
        };
        // A tool that prints histograms has no columns at all.
        if places.is_empty() && !columns.is_empty() {
            return Err(LayoutError::Nothing);
        }
        let columns: Vec<_> = places.iter().map(|&place| columns[place].clone()).collect();
        let stacks = columns.iter().filter(|column| column.is_stack()).count();
        Ok(Self { columns, places, stacks })
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many of the columns are of stacks.
    pub(super) fn stacks(&self) -> usize {
        self.stacks
    }

    /// The values of a row that are printed, with their columns.
    pub(super) fn cells<'a>(
        &'a self,
        values: &'a [Value<'a>],
    ) -> impl ExactSizeIterator<Item = (&'a Column, &'a Value<'a>)> {
        // A row has a value for each column of its tool.
        let value = |place: &usize| values.get(*place).unwrap_or(&Value::Null);
        self.columns.iter().zip(&self.places).map(move |(column, place)| (column, value(place)))
    }
}

/// The place of a column of this name.
///
/// # Errors
/// With the names there are, if it is none of them.
pub fn find(columns: &[Column], name: &str) -> Result<usize, LayoutError> {
    columns.iter().position(|column| column.name == name).ok_or_else(|| {
        let known: Vec<&str> = columns.iter().map(|column| column.name).collect();
        LayoutError::Unknown { name: name.to_owned(), known: known.join(", ") }
    })
}

fn listed(columns: &[Column], list: &str) -> Result<Vec<usize>, LayoutError> {
    let mut places = Vec::new();
    for name in list.split(',') {
        if name.starts_with(['+', '-']) {
            return Err(LayoutError::Mixed);
        }
        let place = find(columns, name)?;
        if places.contains(&place) {
            return Err(LayoutError::Twice(columns[place].name));
        }
        places.push(place);
    }
    Ok(places)
}

/// Columns that are added stand where the tool has them.
fn changed(columns: &[Column], mut places: Vec<usize>, list: &str) -> Result<Vec<usize>, LayoutError> {
    for word in list.split(',') {
        if let Some(name) = word.strip_prefix('-') {
            let unwanted = find(columns, name)?;
            places.retain(|&place| place != unwanted);
        } else {
            places.push(find(columns, word.strip_prefix('+').ok_or(LayoutError::Mixed)?)?);
        }
    }
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::number("pid", 7, ""),
        Column::number("tid", 7, "").hidden(),
        Column::text("comm", 15, ""),
        Column::text("path", 0, ""),
    ];

    fn names(format: Format, list: Option<&str>) -> Result<String, LayoutError> {
        let layout = Layout::new(&COLUMNS, format, list)?;
        let values = [Value::Uint(0), Value::Uint(1), Value::Uint(2), Value::Uint(3)];
        for (column, value) in layout.cells(&values) {
            let &Value::Uint(place) = value else { panic!("{value:?}") };
            assert_eq!(column.name, COLUMNS[place as usize].name, "values follow their columns");
        }
        Ok(layout.columns().iter().map(|column| column.name).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn lists_choose_columns() {
        let table = |list| names(Format::Table, list).unwrap();
        let json = |list| names(Format::Json, list).unwrap();
        assert_eq!(table(None), "pid comm path");
        assert_eq!(json(None), "pid tid comm path");
        assert_eq!(table(Some("path,tid")), "path tid", "a list has its own order");
        assert_eq!(json(Some("path,tid")), "path tid");
        assert_eq!(table(Some("+tid")), "pid tid comm path", "what is added stands in its place");
        assert_eq!(table(Some("+tid,-comm,-path")), "pid tid");
        assert_eq!(json(Some("-pid,+tid")), "tid comm path");
        assert_eq!(table(Some("+pid,+pid")), "pid comm path");
    }

    #[test]
    fn wrong_lists_say_why() {
        let error = |list| names(Format::Table, Some(list)).unwrap_err().to_string();
        for list in ["", "pid,", "PID", "pid, comm", "+", "-", "--pid", "-pid,+fd"] {
            let error = error(list);
            assert!(error.ends_with("the columns are pid, tid, comm, path"), "{list}: {error}");
        }
        assert!(error("pid,comm,pid").contains("pid is there twice"));
        assert!(error("pid,+tid").contains("either all"));
        assert!(error("+tid,pid").contains("either all"));
        assert!(error("-pid,-comm,-path").contains("no column"));
    }
}
