//! Resource files: whatever stands in one, each error has its place, and what is accepted is consistent.

use std::collections::BTreeSet;

use gateway::{Resources, difference, valid_routes};

/// Input: a resource file.
pub fn holds(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let outcome = Resources::parse("f", &text);
    assert_eq!(outcome, Resources::parse("f", &text), "the same each time");
    let diagnostics = match &outcome {
        Ok(resources) => resources.warnings(),
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.as_slice()
        }
    };
    let lines = text.matches('\n').count() + 1;
    for diagnostic in diagnostics {
        assert!((1..=lines).contains(&(diagnostic.line as usize)) && diagnostic.column >= 1, "{diagnostic}");
        assert!(!diagnostic.problem.is_empty() && !diagnostic.to_string().contains('\n'), "{diagnostic}");
    }
    let Ok(resources) = outcome else { return };
    assert_eq!(difference(&resources, &resources), []);
    let up: BTreeSet<_> = resources.tunnels_indexed().map(|(index, _)| index).collect();
    let gateways: BTreeSet<_> = resources.attachments().iter().map(|attachment| attachment.gateway).collect();
    for gateway in gateways {
        let routes = valid_routes(&resources, gateway, &up);
        let prefixes: BTreeSet<_> = routes.iter().map(|route| route.prefix).collect();
        assert_eq!(prefixes.len(), routes.len(), "one route a prefix");
    }
}
