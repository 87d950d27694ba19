//! Where tools put their rows.

use super::{judge::Judge, origin::Origin, sort::Kept};
use crate::output::{Printer, Value};

/// The printer, with the run's limit on rows; or a list, for rows that are to be sorted first.
pub struct Rows<'a> {
    to: To<'a>,
    judge: Option<&'a Judge>,
    origin: Option<&'a Origin>,
    /// The stacks of the event that rows are made of.
    stacks: Vec<Value<'a>>,
}

enum To<'a> {
    Printer { printer: &'a mut Printer, left: &'a mut Option<u64> },
    List(&'a mut Vec<Kept>),
}

impl<'a> Rows<'a> {
    pub fn new(printer: &'a mut Printer, left: &'a mut Option<u64>, judge: Option<&'a Judge>) -> Self {
        Self { to: To::Printer { printer, left }, judge, origin: None, stacks: Vec::new() }
    }

    pub fn keep(list: &'a mut Vec<Kept>, judge: Option<&'a Judge>) -> Self {
        Self { to: To::List(list), judge, origin: None, stacks: Vec::new() }
    }

    /// The same, with the columns that tell where a row's process is.
    pub const fn with_origin(mut self, origin: Option<&'a Origin>) -> Self {
        self.origin = origin;
        self
    }

    /// The same, with the stacks of the event.
    pub fn with_stacks(mut self, stacks: Vec<Value<'a>>) -> Self {
        self.stacks = stacks;
        self
    }

    /// Prints a row, a value for each column, at a time of the kernel's monotonic clock.
    pub fn push(&mut self, ns: u64, values: &[Value<'_>]) {
        if self.stacks.is_empty() {
            return self.place(ns, values);
        }
        let values = [values, &self.stacks].concat();
        self.place(ns, &values);
    }

    fn place(&mut self, ns: u64, values: &[Value<'_>]) {
        match self.origin {
            Some(origin) => origin.extend(values, |values| self.put(ns, values)),
            None => self.put(ns, values),
        }
    }

    fn put(&mut self, ns: u64, values: &[Value<'_>]) {
        // Rows beyond the limit are not printed, but may be the ones that are forbidden or expected.
        if self.judge.is_some_and(|judge| !judge.admits(values)) {
            return;
        }
        match &mut self.to {
            To::List(list) => list.push(Kept::new(ns, values)),
            To::Printer { left: Some(0), .. } => {}
            To::Printer { printer, left } => {
                printer.row(ns, values);
                if let Some(left) = left {
                    *left -= 1;
                }
            }
        }
    }

    /// As many rows were printed as were asked for, or one that is forbidden.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let is_broken = self.judge.is_some_and(Judge::is_broken);
        is_broken || matches!(&self.to, To::Printer { left: Some(0), .. })
    }
}
