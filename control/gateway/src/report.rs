//! The problems found in one resource file, and where in it they are.

use std::cell::RefCell;

use crate::diagnostic::{Diagnostic, Refusal};

/// Collects the diagnostics of one file. Shared by everything that reads the file, hence the inner mutability.
pub(crate) struct Report<'t> {
    file: String,
    text: &'t str,
    line_starts: Vec<usize>,
    errors: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<Diagnostic>>,
}

/// A value and the byte offset at which it stands in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) offset: usize,
}

impl<T> At<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), offset: self.offset }
    }
}

/// What is to be said about one field.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    value: Option<String>,
    problem: String,
    allowed: Option<String>,
}

impl Complaint {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { value: None, problem: problem.into(), allowed: None }
    }

    pub(crate) fn refused(refusal: &impl Refusal) -> Self {
        Self::new(refusal.to_string()).allowed(refusal.allowed())
    }

    pub(crate) fn allowed(self, allowed: impl Into<String>) -> Self {
        Self { allowed: Some(allowed.into()), ..self }
    }

    /// What else is allowed, before what is already said to be.
    pub(crate) fn or_allowed(self, first: &str) -> Self {
        let allowed = self.allowed.as_ref().map_or_else(|| first.to_owned(), |rest| format!("{first}, {rest}"));
        Self { allowed: Some(allowed), ..self }
    }

    /// With a text as the value, quoted, on one line and of bounded length.
    pub(crate) fn quoting(self, text: &str) -> Self {
        self.value(quoted(text))
    }

    pub(crate) fn value(self, value: String) -> Self {
        Self { value: Some(value), ..self }
    }

    pub(crate) fn without_value(self) -> Self {
        Self { value: None, ..self }
    }
}

/// A text from the file as it is shown: quoted, on one line and of bounded length.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 48;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

impl<'t> Report<'t> {
    pub(crate) fn new(file: &str, text: &'t str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.to_owned(), text, line_starts, errors: RefCell::default(), warnings: RefCell::default() }
    }

    pub(crate) fn error(&self, object: &str, path: &str, offset: usize, complaint: Complaint) {
        self.errors.borrow_mut().push(self.diagnostic(object, path, offset, complaint));
    }

    pub(crate) fn warn(&self, object: &str, path: &str, offset: usize, complaint: Complaint) {
        self.warnings.borrow_mut().push(self.diagnostic(object, path, offset, complaint));
    }

    /// Ends the report: the warnings where there was no error, otherwise the errors. Both by line and column.
    pub(crate) fn finish(self) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let sorted = |cell: RefCell<Vec<Diagnostic>>| {
            let mut diagnostics = cell.into_inner();
            diagnostics.sort_by_key(|d| (d.line, d.column));
            diagnostics
        };
        let errors = sorted(self.errors);
        if errors.is_empty() { Ok(sorted(self.warnings)) } else { Err(errors) }
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    pub(crate) fn diagnostic(&self, object: &str, path: &str, offset: usize, complaint: Complaint) -> Diagnostic {
        let line = self.line(offset);
        let start = self.line_starts[line as usize - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        let field = match (object, path) {
            (object, "") => object.to_owned(),
            ("", path) => path.to_owned(),
            (object, path) => format!("{object}.{path}"),
        };
        Diagnostic {
            file: self.file.clone(),
            line,
            column: u32::try_from(column).unwrap_or(u32::MAX - 1) + 1,
            object: object.to_owned(),
            field,
            value: complaint.value,
            problem: complaint.problem,
            allowed: complaint.allowed,
        }
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> u32 {
        // The first line starts at 0, so at least one start is not beyond any offset.
        let line = self.line_starts.partition_point(|&start| start <= offset).max(1);
        u32::try_from(line).unwrap_or(u32::MAX)
    }
}
