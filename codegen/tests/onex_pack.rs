//! The pack that is shipped, on the contracts that are shipped.
//!
//! `BLESS=1 cargo test -p codegen --test onex_pack` writes the golden files anew.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test reads files, and fails where it cannot")]

use std::fs;
use std::path::{Path, PathBuf};

use codegen::check::check;
use codegen::{Contract, File, Limits, Pack, Plan, Templates, render};

const GOLDEN: [&str; 3] = ["order_intake_effect", "shipment_notify_effect", "stock_ledger_reducer"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn pack() -> (Pack, Templates) {
    let folder = root().join("templates/onex");
    let pack = Pack::parse("pack.yaml", &fs::read(folder.join("pack.yaml")).unwrap()).unwrap();
    let source = |name: &str| (name.to_owned(), fs::read_to_string(folder.join(name)).unwrap());
    let sources: Vec<(String, String)> = pack.templates().map(source).collect();
    let sources = sources.iter().map(|(name, source)| (name.as_str(), source.as_str()));
    let templates = Templates::empty().with_all(sources).unwrap_or_else(|faults| panic!("{faults:#?}"));
    (pack, templates)
}

/// The names of the examples, sorted.
fn examples() -> Vec<String> {
    let entries = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn package(example: &str) -> (Plan, Vec<File>) {
    let bytes = fs::read(root().join("examples").join(example).join("contract.yaml")).unwrap();
    let plan = Contract::read("contract.yaml", &bytes).and_then(|contract| Plan::new(&contract));
    let plan = plan.unwrap_or_else(|faults| panic!("{example}: {faults:#?}"));
    let (pack, templates) = pack();
    let files = render(&plan.context, &pack, &templates, &Limits::without_deadline());
    (plan, files.unwrap_or_else(|failure| panic!("{example}: {failure:#?}")))
}

#[test]
fn every_example_becomes_a_package_without_faults() {
    let examples = examples();
    assert!(examples.len() >= 8, "{examples:?}");
    for example in examples {
        let (plan, files) = package(&example);
        assert_eq!(plan.package, example);
        check(&files).unwrap_or_else(|faults| panic!("{example}: {faults:#?}"));
    }
}

#[test]
fn the_contract_is_in_the_package_byte_for_byte() {
    for example in examples() {
        let (plan, files) = package(&example);
        let contract = files.iter().find(|file| file.path == "contract.yaml").unwrap();
        assert_eq!(contract.content, plan.contract_text);
        let text = fs::read_to_string(root().join("examples").join(&example).join("contract.yaml")).unwrap();
        assert_eq!(contract.content, text);
    }
}

#[test]
fn no_line_of_generated_python_ends_in_a_space_and_every_file_ends_in_a_line_break() {
    for example in examples() {
        for file in package(&example).1.iter().filter(|file| file.path.ends_with(".py")) {
            assert!(file.content.ends_with('\n') && !file.content.ends_with("\n\n"), "{example}/{}", file.path);
            assert!(file.content.lines().all(|line| line.trim_end() == line), "{example}/{}", file.path);
        }
    }
}

#[test]
fn packages_are_those_of_the_golden_files() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for example in GOLDEN {
        let (_, files) = package(example);
        let text: String = files
            .iter()
            .filter(|file| file.path != "contract.yaml")
            .map(|file| format!("======== {}\n{}", file.path, file.content))
            .collect();
        let path = golden.join(format!("{example}.txt"));
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(&golden).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        let differs = known.lines().zip(text.lines()).position(|(one, other)| one != other);
        assert!(known == text, "{example} differs from {} at line {:?}", path.display(), differs.map(|at| at + 1));
    }
}
