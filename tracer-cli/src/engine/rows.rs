//! Where tools put their rows.

use crate::output::{Printer, Value};

/// The printer, with the run's limit on rows.
pub struct Rows<'a> {
    printer: &'a mut Printer,
    left: &'a mut Option<u64>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(printer: &'a mut Printer, left: &'a mut Option<u64>) -> Self {
        Self { printer, left }
    }

    /// Prints a row, a value for each column, at a time of the kernel's monotonic clock.
    pub fn push(&mut self, ns: u64, values: &[Value<'_>]) {
        if self.is_full() {
            return;
        }
        self.printer.row(ns, values);
        if let Some(left) = self.left {
            *left -= 1;
        }
    }

    /// As many rows were printed as were asked for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        *self.left == Some(0)
    }
}
