//! Whatever stands in a resource file, reading it ends well, and every error has its line.

use bordergate_gateway::{Identity, InterfaceAddress, InterfaceName, Name, Prefix, Resources};
use proptest::prelude::*;

const EXAMPLES: [&str; 3] = [
    include_str!("../../../examples/static.toml"),
    include_str!("../../../examples/two-tenants.toml"),
    include_str!("../../../examples/full.toml"),
];

/// Reads a text twice; each error must lie on a line of it and say something.
fn check(text: &str) -> Result<(), TestCaseError> {
    let outcome = Resources::parse("f", text);
    prop_assert_eq!(&outcome, &Resources::parse("f", text));
    let diagnostics = match &outcome {
        Ok(resources) => resources.warnings(),
        Err(errors) => {
            prop_assert!(!errors.is_empty());
            errors.as_slice()
        }
    };
    let lines = text.matches('\n').count() + 1;
    for diagnostic in diagnostics {
        prop_assert!((1..=lines).contains(&(diagnostic.line as usize)), "{}", diagnostic);
        prop_assert!(diagnostic.column >= 1);
        let shown = diagnostic.to_string();
        prop_assert!(!diagnostic.problem.is_empty() && !shown.contains('\n'), "{}", shown);
        prop_assert!(diagnostic.field.starts_with(&diagnostic.object));
    }
    Ok(())
}

/// A byte put in place of another, taken out, or put in.
#[derive(Debug, Clone)]
enum Edit {
    Replace(prop::sample::Index, u8),
    Delete(prop::sample::Index),
    Insert(prop::sample::Index, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<prop::sample::Index>;
    // Mostly what has a meaning in TOML.
    let byte = || prop_oneof![prop::sample::select(b"\"'[]{}=.,#\n \\0123456789-_aAeEx:/".to_vec()), any::<u8>()];
    prop_oneof![
        (place(), byte()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        place().prop_map(Edit::Delete),
        (place(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_at_all(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_words_of_a_resource_file(words in prop::collection::vec(prop::sample::select(vec![
        "[[border_gateway]]\n", "[[vpn_tunnel]]\n", "[vpn_tunnel.ike]\n", "[[static_route]]\n", "[[vpc_attachment]]\n",
        "name = ", "psk = ", "outer = ", "vlan = ", "inner_address = ", "blackhole = ", "asn = ", "ike = ", "addresses = ", "prefixes = ", "border_gateway = ", "destination = ",
        "\"a\"", "\"10.0.0.0/8\"", "[", "]", "{", "}", ",", "1", "-1", "true", "1979-05-27", "1.5", "\n", "\n", "\n",
    ]), 0..60)) {
        check(&words.concat())?;
    }

    #[test]
    fn edited_examples(example in 0..EXAMPLES.len(), edits in prop::collection::vec(edit(), 1..6)) {
        let mut bytes = EXAMPLES[example].as_bytes().to_vec();
        for edit in edits {
            match edit {
                Edit::Replace(at, byte) => { let at = at.index(bytes.len()); bytes[at] = byte; }
                Edit::Delete(at) => { bytes.remove(at.index(bytes.len())); }
                Edit::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), byte),
            }
        }
        check(&String::from_utf8_lossy(&bytes))?;
    }

    /// What a checked constructor takes is shown as what it takes again.
    #[test]
    fn what_is_shown_reads_the_same(text in "[a-zA-Z0-9.:/@_-]{0,24}|[0-9.]{7,15}(/[0-9]{1,2})?|[0-9a-f:]{2,20}/[0-9]{1,3}") {
        if let Ok(prefix) = text.parse::<Prefix>() {
            prop_assert_eq!(prefix.to_string().parse::<Prefix>(), Ok(prefix));
            prop_assert!(prefix.contains(prefix.address()) && prefix.covers(&prefix));
        }
        if let Ok(address) = text.parse::<InterfaceAddress>() {
            prop_assert_eq!(address.to_string().parse::<InterfaceAddress>(), Ok(address));
            prop_assert!(address.prefix().contains(address.address()));
        }
        if let Ok(identity) = text.parse::<Identity>() {
            prop_assert_eq!(identity.to_string().parse::<Identity>(), Ok(identity));
        }
        if let Ok(name) = text.parse::<Name>() {
            prop_assert_eq!(name.as_str(), &text);
        }
        if let Ok(name) = text.parse::<InterfaceName>() {
            prop_assert!(name.as_str().len() <= 15);
        }
    }
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    for opening in ["[", "{a="] {
        let text = format!("name = {}", opening.repeat(100_000));
        assert!(Resources::parse("f", &text).is_err());
    }
}
