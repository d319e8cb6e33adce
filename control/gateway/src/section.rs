//! One table of the resource file while it is read.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroize;

use crate::report::{At, Complaint, Report, quoted};
use crate::scalar::wrong_type;
use crate::suggestion::closest;

/// A table of which fields are taken one by one; what is left at the end is not known.
pub(crate) struct Section<'r, 'i> {
    pub(crate) report: &'r Report<'i>,
    pub(crate) object: String,
    pub(crate) offset: usize,
    table: &'static str,
    entries: DeTable<'i>,
    known: Vec<&'static str>,
}

/// What was found of a field.
#[derive(Clone, Copy)]
pub(crate) enum Found<T> {
    Absent,
    /// Reported already.
    Bad,
    Good(At<T>),
}

impl<T> Found<T> {
    pub(crate) fn good(self) -> Option<At<T>> {
        match self {
            Self::Absent | Self::Bad => None,
            Self::Good(value) => Some(value),
        }
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Absent => Found::Absent,
            Self::Bad => Found::Bad,
            Self::Good(value) => Found::Good(value.map(f)),
        }
    }

    /// What was found or else the default, which may be unknown.
    pub(crate) fn or(self, default: Option<At<T>>) -> Option<At<T>> {
        match self {
            Self::Absent => default,
            Self::Bad => None,
            Self::Good(value) => Some(value),
        }
    }

    /// The value of a field that has no default; `None` where what was found is bad.
    pub(crate) fn optional(self) -> Option<Option<T>> {
        match self {
            Self::Absent => Some(None),
            Self::Bad => None,
            Self::Good(value) => Some(Some(value.value)),
        }
    }

    /// As [`Found::optional`], with its place.
    pub(crate) fn optional_at(self) -> Option<Option<At<T>>> {
        match self {
            Self::Absent => Some(None),
            Self::Bad => None,
            Self::Good(value) => Some(Some(value)),
        }
    }
}

impl<'r, 'i> Section<'r, 'i> {
    pub(crate) fn new(report: &'r Report<'i>, object: String, offset: usize, entries: DeTable<'i>) -> Self {
        Self { report, object, offset, table: "", entries, known: Vec::new() }
    }

    /// Whether nothing stands in it that was not taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A field that may be left out.
    pub(crate) fn field<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'i>) -> Result<T, Complaint>,
    ) -> Found<T> {
        self.take(key).map_or(Found::Absent, |entry| {
            let offset = entry.span().start;
            match read(entry.get_ref()) {
                Ok(value) => Found::Good(At { value, offset }),
                Err(complaint) => {
                    self.error(key, offset, complaint);
                    Found::Bad
                }
            }
        })
    }

    /// A field of which nothing may be shown, and of which no copy is left behind.
    pub(crate) fn secret<T>(&mut self, key: &'static str, read: impl Fn(&str) -> Result<T, Complaint>) -> Found<T> {
        let Some(entry) = self.take(key) else { return Found::Absent };
        let offset = entry.span().start;
        let mut value = entry.into_inner();
        let outcome = match value.as_str() {
            Some(text) => read(text),
            None => Err(wrong_type(&value, "a string")),
        };
        // A text without escapes is borrowed from the file's text, which is its owner's to wipe.
        if let DeValue::String(Cow::Owned(text)) = &mut value {
            text.zeroize();
        }
        match outcome {
            Ok(value) => Found::Good(At { value, offset }),
            Err(complaint) => {
                self.error(key, offset, complaint.without_value());
                Found::Bad
            }
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        read: impl Fn(&DeValue<'i>) -> Result<T, Complaint>,
    ) -> Option<At<T>> {
        let found = self.field(key, read);
        self.must_be_there(key, allowed, found)
    }

    /// A field with a default.
    pub(crate) fn defaulted<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl Fn(&DeValue<'i>) -> Result<T, Complaint>,
    ) -> Option<T> {
        match self.field(key, read) {
            Found::Absent => Some(default),
            Found::Bad => None,
            Found::Good(value) => Some(value.value),
        }
    }

    /// A list that may be left out; if given it has an entry, and none twice.
    pub(crate) fn list<T: PartialEq>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'i>) -> Result<T, Complaint>,
    ) -> Found<Vec<At<T>>> {
        let Some(entry) = self.take(key) else { return Found::Absent };
        let offset = entry.span().start;
        let DeValue::Array(items) = entry.get_ref() else {
            self.error(key, offset, wrong_type(entry.get_ref(), "a list in square brackets"));
            return Found::Bad;
        };
        if items.is_empty() {
            self.error(key, offset, Complaint::new("is an empty list").allowed("at least one entry"));
            return Found::Bad;
        }
        let mut values: Vec<At<T>> = Vec::with_capacity(items.len());
        let mut good = true;
        for item in items.iter() {
            let offset = item.span().start;
            let complaint = match read(item.get_ref()) {
                Err(complaint) => complaint,
                Ok(value) if values.iter().any(|earlier| earlier.value == value) => {
                    let complaint = Complaint::new("is listed twice").allowed("each entry once");
                    match item.get_ref().as_str() {
                        Some(text) => complaint.quoting(text),
                        None => complaint,
                    }
                }
                Ok(value) => {
                    values.push(At { value, offset });
                    continue;
                }
            };
            self.error(key, offset, complaint);
            good = false;
        }
        if good { Found::Good(At { value: values, offset }) } else { Found::Bad }
    }

    /// A list that must be there.
    pub(crate) fn required_list<T: PartialEq>(
        &mut self,
        key: &'static str,
        allowed: &str,
        read: impl Fn(&DeValue<'i>) -> Result<T, Complaint>,
    ) -> Option<At<Vec<At<T>>>> {
        let found = self.list(key, read);
        self.must_be_there(key, allowed, found)
    }

    /// A list with a default.
    pub(crate) fn defaulted_list<T: PartialEq>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        read: impl Fn(&DeValue<'i>) -> Result<T, Complaint>,
    ) -> Option<Vec<T>> {
        match self.list(key, read) {
            Found::Absent => Some(default),
            Found::Bad => None,
            Found::Good(values) => Some(values.value.into_iter().map(|entry| entry.value).collect()),
        }
    }

    /// A table inside this one; an empty one where it is left out.
    pub(crate) fn table(&mut self, key: &'static str) -> Section<'r, 'i> {
        let (offset, entries) = match self.take(key) {
            None => (self.offset, DeTable::new()),
            Some(entry) => {
                let offset = entry.span().start;
                match entry.into_inner() {
                    DeValue::Table(entries) => (offset, entries),
                    other => {
                        self.error(key, offset, wrong_type(&other, "a table").without_value());
                        (offset, DeTable::new())
                    }
                }
            }
        };
        Section { report: self.report, object: self.object.clone(), offset, table: key, entries, known: Vec::new() }
    }

    /// The objects of one kind, each with its place.
    pub(crate) fn objects(&mut self, kind: &'static str) -> Found<Vec<At<DeTable<'i>>>> {
        let Some(entry) = self.take(kind) else { return Found::Absent };
        let offset = entry.span().start;
        let allowed = format!("[[{kind}]] before each");
        let DeValue::Array(items) = entry.into_inner() else {
            self.error(kind, offset, Complaint::new("is not a list of tables").allowed(allowed));
            return Found::Bad;
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            let offset = item.span().start;
            match item.into_inner() {
                DeValue::Table(value) => tables.push(At { value, offset }),
                _ => {
                    self.error(kind, offset, Complaint::new("has an entry that is not a table").allowed(&allowed));
                    return Found::Bad;
                }
            }
        }
        Found::Good(At { value: tables, offset })
    }

    /// Reports what was not taken.
    pub(crate) fn finish(self) {
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            let what = if self.object.is_empty() { "is not a kind of resource" } else { "is not a field here" };
            let complaint = match closest(name, &self.known) {
                Some(meant) => Complaint::new(format!("{what}; did you mean {meant}?")),
                None => Complaint::new(what).allowed(self.known.join(", ")),
            };
            let quoted = quoted(name);
            let shown = quoted.trim_matches('"');
            let path = if self.table.is_empty() { shown.to_owned() } else { format!("{}.{shown}", self.table) };
            self.report.error(&self.object, &path, key.span().start, complaint);
        }
    }

    pub(crate) fn error(&self, key: &str, offset: usize, complaint: Complaint) {
        self.report.error(&self.object, &self.path(key), offset, complaint);
    }

    pub(crate) fn warn(&self, key: &str, offset: usize, complaint: Complaint) {
        self.report.warn(&self.object, &self.path(key), offset, complaint);
    }

    /// That a field is not there, at the table's head.
    pub(crate) fn missing(&self, key: &str, allowed: &str) {
        self.error(key, self.offset, Complaint::new("is missing").allowed(allowed));
    }

    fn path(&self, key: &str) -> String {
        if self.table.is_empty() { key.to_owned() } else { format!("{}.{key}", self.table) }
    }

    fn must_be_there<T>(&self, key: &str, allowed: &str, found: Found<T>) -> Option<At<T>> {
        if matches!(found, Found::Absent) {
            self.missing(key, allowed);
        }
        found.good()
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.entries.remove(key)
    }
}
