//! The names of one kind of object, and references to them.

use std::collections::BTreeMap;

use crate::report::{At, Complaint, quoted};
use crate::scalar;
use crate::section::{Found, Section};
use crate::suggestion::closest;

/// The names of one kind, each with the place of its object. The field that refers to an object is called by its kind.
pub(crate) struct Names {
    kind: &'static str,
    declared: BTreeMap<String, (usize, usize)>,
    complete: bool,
}

impl Names {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, declared: BTreeMap::new(), complete: true }
    }

    /// Notes a name; the offset of the earlier one if it is taken.
    pub(crate) fn declare(&mut self, name: &str, place: usize, offset: usize) -> Option<usize> {
        if let Some(&(_, earlier)) = self.declared.get(name) {
            return Some(earlier);
        }
        self.declared.insert(name.to_owned(), (place, offset));
        None
    }

    /// Notes that an object of this kind has no name that could be read: an unknown name may be meant for it, and is
    /// no further mistake.
    pub(crate) fn incomplete(&mut self) {
        self.complete = false;
    }

    /// The object that the section must name.
    pub(crate) fn reference(&self, section: &mut Section<'_, '_>) -> Option<At<usize>> {
        let found = self.field(section);
        if matches!(found, Found::Absent) {
            section.missing(self.kind, &format!("the name of a {}", self.kind));
        }
        found.good()
    }

    /// The object that the section may name.
    pub(crate) fn field(&self, section: &mut Section<'_, '_>) -> Found<usize> {
        match section.field(self.kind, |value| self.find(scalar::string(value)?)) {
            Found::Absent => Found::Absent,
            Found::Bad | Found::Good(At { value: None, .. }) => Found::Bad,
            Found::Good(At { value: Some(value), offset }) => Found::Good(At { value, offset }),
        }
    }

    /// The object of this name; `None` where it may be one whose name could not be read.
    pub(crate) fn find(&self, name: &str) -> Result<Option<usize>, Complaint> {
        match self.declared.get(name) {
            Some(&(place, _)) => Ok(Some(place)),
            None if !self.complete => Ok(None),
            None => Err(self.dangling(name)),
        }
    }

    fn dangling(&self, name: &str) -> Complaint {
        const SHOWN: usize = 8;
        let names: Vec<&str> = self.declared.keys().map(String::as_str).collect();
        let kind = self.kind;
        let problem = match closest(name, &names) {
            Some(meant) => format!("names no {kind} (did you mean {}?)", quoted(meant)),
            None => format!("names no {kind}"),
        };
        let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
        if names.len() > SHOWN {
            shown.push("…".to_owned());
        }
        let allowed = if shown.is_empty() { format!("define a [[{kind}]] first") } else { shown.join(", ") };
        Complaint::new(problem).allowed(allowed).quoting(name)
    }
}
