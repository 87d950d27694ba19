//! `--filter`, `--forbid` and `--expect`: which rows are printed, and what a run's rows must and must
//! not be.

use std::cell::{Cell, OnceCell};

use crate::{
    error::Failure,
    expr::{Expr, Pushed},
    output::{self, Column, Value},
};

/// Judges a run's rows.
#[derive(Debug)]
pub struct Judge {
    columns: Vec<Column>,
    filter: Option<Expr>,
    forbidden: Vec<Expr>,
    expected: Vec<Expected>,
    /// The first forbidden row, with what forbids it.
    broken: OnceCell<String>,
}

#[derive(Debug)]
struct Expected {
    expr: Expr,
    met: Cell<bool>,
}

impl Judge {
    /// Reads the conditions.
    ///
    /// # Errors
    /// If one of them is none for these columns.
    pub fn new(
        columns: Vec<Column>,
        filter: Option<&str>,
        forbidden: &[String],
        expected: &[String],
    ) -> Result<Self, Failure> {
        let read = |flag: &str, source: &str| {
            Expr::parse(source, &columns).map_err(|error| Failure::Usage(format!("--{flag}: {error}")))
        };
        let filter = filter.map(|source| read("filter", source)).transpose()?;
        let all = |flag: &'static str, sources: &[String]| {
            sources.iter().map(|source| read(flag, source)).collect::<Result<Vec<_>, _>>()
        };
        let (forbidden, expected) = (all("forbid", forbidden)?, all("expect", expected)?);
        let expected = expected.into_iter().map(|expr| Expected { expr, met: Cell::new(false) }).collect();
        Ok(Self { columns, filter, forbidden, expected, broken: OnceCell::new() })
    }

    /// What the kernel can decide of which rows are printed.
    #[must_use]
    pub fn pushed(&self) -> Pushed {
        self.filter.as_ref().map(|filter| filter.pushed(&self.columns)).unwrap_or_default()
    }

    /// Looks at a row; whether it is to be printed.
    #[must_use]
    pub fn admits(&self, values: &[Value<'_>]) -> bool {
        if self.is_broken() || self.filter.as_ref().is_some_and(|filter| !filter.matches(values)) {
            return false;
        }
        for Expected { expr, met } in self.expected.iter().filter(|expected| !expected.met.get()) {
            met.set(expr.matches(values));
        }
        if let Some(expr) = self.forbidden.iter().find(|expr| expr.matches(values)) {
            let row = output::describe(&self.columns, values);
            let _ = self.broken.set(format!("--forbid {}: {row}", expr.source()));
        }
        true
    }

    /// Whether there was a forbidden row, with which a run ends.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.get().is_some()
    }

    /// What the run's rows were not as they should have been.
    ///
    /// # Errors
    /// [`Failure::Expectation`]
    pub fn verdict(&self) -> Result<(), Failure> {
        if let Some(row) = self.broken.get() {
            return Err(Failure::Expectation(row.clone()));
        }
        let unmet = self.expected.iter().filter(|expected| !expected.met.get());
        verdict(&unmet.map(|expected| expected.expr.source()).collect::<Vec<_>>())
    }
}

/// What was not as it should have been, if rows were to match these conditions and did not.
///
/// # Errors
/// [`Failure::Expectation`]
pub fn verdict(unmet: &[impl AsRef<str>]) -> Result<(), Failure> {
    if unmet.is_empty() {
        return Ok(());
    }
    let unmet: Vec<&str> = unmet.iter().map(AsRef::as_ref).collect();
    Err(Failure::Expectation(format!("no row matched --expect {}", unmet.join(", nor --expect "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(filter: Option<&str>, forbidden: &[&str], expected: &[&str]) -> Judge {
        let columns =
            vec![Column::number("pid", 7, ""), Column::text("comm", 7, ""), Column::text("path", 0, "")];
        let owned = |list: &[&str]| list.iter().map(|&source| source.to_owned()).collect::<Vec<_>>();
        Judge::new(columns, filter, &owned(forbidden), &owned(expected)).unwrap()
    }

    fn row(pid: u64, comm: &str) -> [Value<'_>; 3] {
        [Value::Uint(pid), Value::Text(comm.as_bytes()), Value::Null]
    }

    #[test]
    fn a_filter_chooses() {
        let judge = judge(Some("pid > 5"), &[], &[]);
        assert!(!judge.admits(&row(5, "a")) && judge.admits(&row(6, "a")));
        assert!(judge.verdict().is_ok());
    }

    #[test]
    fn a_forbidden_row_is_the_last() {
        let judge = judge(Some("pid > 5"), &["comm == x", "pid == 7"], &[]);
        assert!(!judge.admits(&row(5, "x")), "what is not chosen is not judged");
        assert!(judge.admits(&row(6, "a")) && judge.verdict().is_ok());
        assert!(judge.admits(&row(7, "a\n b")), "it is printed too");
        assert!(judge.is_broken() && !judge.admits(&row(8, "a")));
        let error = judge.verdict().unwrap_err();
        assert_eq!(error.to_string(), r"--forbid pid == 7: pid=7 comm=a\n\x20b");
        assert_eq!(error.code(), 6);
    }

    #[test]
    fn each_expectation_must_be_met() {
        let judge = judge(None, &[], &["pid == 1", "pid == 2", "comm == x"]);
        assert!(judge.admits(&row(1, "a")) && judge.admits(&row(3, "x")) && judge.admits(&row(4, "y")));
        let error = judge.verdict().unwrap_err();
        assert_eq!((error.to_string().as_str(), error.code()), ("no row matched --expect pid == 2", 6));
        assert!(judge.admits(&row(2, "a")) && judge.verdict().is_ok());
    }
}
