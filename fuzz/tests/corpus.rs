//! Every target holds for every input of its corpus.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bordergate_fuzz::TARGETS;

/// What a corpus may hold: it is read by every test run, and by people who look at a difference.
const MOST_FILES: usize = 400;
const MOST_BYTES: u64 = 300_000;

/// The folders and files in a folder, by name.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_target_holds_for_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    assert_eq!(names(&corpora), TARGETS.iter().map(|target| target.name.to_owned()).collect());
    for target in TARGETS {
        let folder = corpora.join(target.name);
        let (files, mut bytes) = (names(&folder), 0);
        for name in &files {
            let input = fs::read(folder.join(name)).unwrap();
            bytes += input.len() as u64;
            let outcome = std::panic::catch_unwind(|| (target.holds)(&input));
            assert!(outcome.is_ok(), "fuzz/corpus/{}/{name}: what failed stands above", target.name);
        }
        assert!(
            (1..=MOST_FILES).contains(&files.len()) && bytes <= MOST_BYTES,
            "{}: {} files, {bytes} bytes",
            target.name,
            files.len()
        );
    }
}
