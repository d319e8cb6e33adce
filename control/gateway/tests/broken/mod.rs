//! The good file, ways to break it, and what is said about it.

use bordergate_gateway::{Diagnostic, Resources};

pub const GOOD: &str = include_str!("../../../../examples/static.toml");

/// The good file with `from` replaced once by `to`, and `more` behind it.
pub fn edited(from: &str, to: &str, more: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the example");
    format!("{}\n{more}", GOOD.replacen(from, to, 1))
}

pub fn errors(text: &str) -> Vec<Diagnostic> {
    Resources::parse("f", text).expect_err("the file should be refused")
}

pub fn shown(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

/// The lines of the good file, so that the expectations need not be counted again when a comment is added to it.
pub fn line(part: &str) -> usize {
    let start = GOOD.find(part).expect("the text is in the example");
    GOOD[..start].matches('\n').count() + 1
}

/// One edit of the good file and the one error it must lead to, `{}` standing for the line of `from`.
pub fn refused(cases: &[(&str, &str, &str)]) {
    for &(from, to, expected) in cases {
        let found = shown(&errors(&edited(from, to, "")));
        assert_eq!(found, [expected.replace("{}", &line(from).to_string())], "{from} -> {to}");
    }
}
