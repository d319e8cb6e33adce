//! Every rule of the resource file, each broken once in an otherwise good file, with the exact text that is shown.

use bordergate_gateway::{Diagnostic, Resources};

const GOOD: &str = include_str!("../../../examples/static.toml");

/// The good file with `from` replaced once by `to`, and `more` behind it.
fn edited(from: &str, to: &str, more: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the example");
    format!("{}\n{more}", GOOD.replacen(from, to, 1))
}

fn errors(text: &str) -> Vec<Diagnostic> {
    Resources::parse("f", text).expect_err("the file should be refused")
}

fn shown(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

/// The lines of the good file, so that the expectations need not be counted again when a comment is added to it.
fn line(part: &str) -> usize {
    GOOD.lines().position(|line| line.contains(part)).expect("the line is in the example") + 1
}

/// One edit of the good file and the one error it must lead to, `{}` standing for the line of `from`.
fn refused(cases: &[(&str, &str, &str)]) {
    for &(from, to, expected) in cases {
        let found = shown(&errors(&edited(from, to, "")));
        assert_eq!(found, [expected.replace("{}", &line(from).to_string())], "{from} -> {to}");
    }
}

CASES
