//! `--dry-run`, `--diff` and `--check`: what they say is what a run does, and they leave no trace.

mod sarif;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Bench, Ended, corpus, tree};

/// A pack of one's own: path to template. `{{ node.package }}` makes each package differ.
fn pack(bench: &Bench, files: &[(&str, &str)]) {
    let _ = fs::remove_dir_all(bench.path("pack"));
    let mut manifest = "name: own\nversion: '1'\ndescription: mine\nfiles:\n".to_owned();
    for (number, (path, text)) in files.iter().enumerate() {
        manifest += &format!("  - {{path: '{path}', template: t{number}.j2}}\n");
        bench.write(&format!("pack/t{number}.j2"), text);
    }
    bench.write("pack/pack.yaml", manifest);
}

fn arguments(bench: &Bench, more: &[&str]) -> Vec<OsString> {
    let fixed = [bench.path("contracts").into_os_string(), "--pack".into(), bench.path("pack").into_os_string()];
    fixed.into_iter().chain(more.iter().map(OsString::from)).collect()
}

fn run(bench: &Bench, more: &[&str]) -> Ended {
    bench.generate(arguments(bench, more))
}

fn json(bench: &Bench, code: i32, more: &[&str]) -> Value {
    let ended = run(bench, &[more, &["--format", "json"]].concat()).expect_code(code);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Every file and folder under a folder with what a write would change.
fn traces(folder: &Path) -> BTreeMap<String, (u64, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in ignore::WalkBuilder::new(folder).standard_filters(false).build() {
        let entry = entry.unwrap();
        let data = fs::symlink_metadata(entry.path()).unwrap();
        let trace = (data.ino(), data.len(), data.mtime(), data.mtime_nsec());
        found.insert(entry.path().display().to_string(), trace);
    }
    found
}

/// Two versions of a package, with what is awkward in a patch: no newline at the end, carriage returns alone and with a
/// newline, an empty file, a blank in a name, lines that look like headers, several hunks.
fn version(bench: &Bench, version: usize) {
    pack(bench, &texts(version).iter().map(|(path, text)| (*path, &**text)).collect::<Vec<_>>());
}

fn texts(version: usize) -> Vec<(&'static str, String)> {
    let line = |number: usize| {
        if [3, 40, 77].contains(&number) { format!("version {version} {number}\n") } else { format!("line {number}\n") }
    };
    let long = (0..80).map(line).collect::<String>();
    let others: &[(&str, &str)] = match version {
        1 => &[
            ("end.txt", "same\n{{ node.package }} has no newline"),
            ("cr.txt", "a\rb\r\nc\r\nd\r"),
            ("gone/deep/x.txt", "gone\n"),
            ("two words.txt", "1\n"),
            ("same.txt", "same\n"),
            ("dashes.txt", "-- old\n++ old\n"),
        ],
        _ => &[
            ("end.txt", "same\n{{ node.package }} has one now\n"),
            ("cr.txt", "a\rB\r\nc\r\nd\re"),
            ("new/empty.txt", "{{ '' }}"),
            ("new/deep/y.txt", "new\n"),
            ("two words.txt", "2\n"),
            ("same.txt", "same\n"),
            ("dashes.txt", "-- new\n++ new\n"),
        ],
    };
    let others = others.iter().map(|(path, text)| (*path, (*text).to_owned()));
    [("a/long.txt", long)].into_iter().chain(others).collect()
}

#[test]
fn the_three_questions_leave_no_trace_and_open_no_database() {
    let bench = Bench::new();
    corpus(&bench, 3);
    version(&bench, 1);
    let broken = bench.write("omninode.db", "no database, but long enough to have a header that is wrong".repeat(9));
    let before = traces(&bench.path("."));
    for (flag, code) in [("--dry-run", 0), ("--diff", 0), ("--check", 4)] {
        let ended = run(&bench, &[flag]).expect_code(code);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
        assert_eq!(traces(&bench.path(".")), before, "{flag} left something");
    }
    fs::remove_file(broken).unwrap();
    run(&bench, &[]).expect_code(0);
    version(&bench, 2);
    bench.write("out/node_sum_001_compute/same.txt", "mine\n");
    bench.write("out/.omninode/staging-1/0/x", "of a killed run");
    let before = traces(&bench.path("."));
    for (flag, code) in [("--dry-run", 0), ("--diff", 0), ("--check", 4)] {
        run(&bench, &[flag]).expect_code(code);
        assert_eq!(traces(&bench.path(".")), before, "{flag} left something over a kept edit");
    }
    bench.write("out/node_sum_001_compute/dashes.txt", "mine\n");
    let before = traces(&bench.path("."));
    for (flag, code) in [("--dry-run", 1), ("--diff", 1), ("--check", 5)] {
        run(&bench, &[flag]).expect_code(code);
        assert_eq!(traces(&bench.path(".")), before, "{flag} left something");
    }
}

#[test]
fn a_dry_run_says_for_each_package_what_the_run_then_does() {
    let bench = Bench::new();
    corpus(&bench, 4);
    version(&bench, 1);
    run(&bench, &[]).expect_code(0);
    version(&bench, 2);
    fs::remove_dir_all(bench.path("out/node_sum_000_compute")).unwrap();
    fs::remove_file(bench.path("out/node_sum_001_compute/same.txt")).unwrap();
    bench.write("out/node_sum_002_compute/dashes.txt", "mine\n");
    bench.write("out/node_sum_003_compute/same.txt", "mine, and its plan stays\n");
    let ended = run(&bench, &["--dry-run"]).expect_code(1);
    for line in [
        "new        node_sum_000_compute: 8 files",
        "changed    node_sum_001_compute: 8 files to write, 1 to remove",
        "  replace    a/long.txt",
        "  create     same.txt",
        "  remove     gone/deep/x.txt",
        "refused    node_sum_002_compute: edits are in conflict with the plan\n  conflict   dashes.txt\nchanged  ",
        "4 packages in",
        "1 new, 2 changed, 0 unchanged, 1 refused; 23 files to write, 2 to remove; 1 edited file kept; nothing was written",
    ] {
        assert!(ended.stdout.contains(line), "`{line}` is missing in\n{}", ended.stdout);
    }
    assert_eq!(ended.stdout.matches("same.txt").count(), 1, "a kept edit is no change:\n{}", ended.stdout);
    assert!(ended.stderr.contains("dashes.txt") && ended.stderr.contains("--force"), "{}", ended.stderr);
    let forced = run(&bench, &["--dry-run", "--force"]).expect_code(0);
    assert!(forced.stdout.contains("31 files to write, 2 of them edited, 3 to remove"), "{}", forced.stdout);
    let copy = forced.stdout.lines().find_map(|line| line.split("a copy would be kept in ").nth(1)).unwrap().to_owned();
    let planned = json(&bench, 0, &["--dry-run", "--force"]);
    let done = json(&bench, 0, &["--force"]);
    assert_eq!(fs::read(bench.out().join(copy)).unwrap(), b"mine\n");
    for (planned, done) in planned["packages"].as_array().unwrap().iter().zip(done["packages"].as_array().unwrap()) {
        let writes = |file: &&Value| file["action"] != "remove";
        let writing = planned["files"].as_array().unwrap().iter().filter(writes).count();
        assert_eq!((&planned["package"], writing as u64), (&done["package"], done["files_written"].as_u64().unwrap()));
    }
    let after = run(&bench, &["--dry-run"]).expect_code(0);
    assert!(after.stdout.contains("0 new, 0 changed, 4 unchanged; 0 files to write; nothing"), "{}", after.stdout);
}

/// Applies a patch to a copy of the output folder, and gives back the tree.
fn applied(bench: &Bench, tool: &[&str], patch: &str) -> BTreeMap<String, Vec<u8>> {
    let copy = bench.path("copy");
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(&copy).unwrap();
    for (path, content) in tree(&bench.out()) {
        bench.write(&format!("copy/{path}"), content);
    }
    let patch = bench.write("out.patch", patch);
    // Not inside a repository of somebody else.
    let mut command = Command::new(tool[0]);
    command.args(&tool[1..]).current_dir(&copy).env("GIT_CEILING_DIRECTORIES", bench.path("."));
    let ended = Ended::of(&command.stdin(fs::File::open(patch).unwrap()).output().unwrap());
    assert_eq!(ended.code, Some(0), "{tool:?}: {ended:?}");
    tree(&copy)
}

const GIT: &[&str] = &["git", "apply", "--whitespace=nowarn"];
const PATCH: &[&str] = &["patch", "--binary", "-p1", "--no-backup-if-mismatch"];

/// The patch, applied by each tool, and the run give the same tree.
#[track_caller]
fn same(bench: &Bench, tools: &[&[&str]], force: &[&str]) {
    let patch = run(bench, &[&["--diff"], force].concat()).expect_code(0);
    assert!(patch.stderr.contains("nothing was written"), "{}", patch.stderr);
    let trees: Vec<_> = tools.iter().map(|tool| applied(bench, tool, &patch.stdout)).collect();
    run(bench, force).expect_code(0);
    for (tool, found) in tools.iter().zip(trees) {
        assert_eq!(found, tree(&bench.out()), "{tool:?}\n{}", patch.stdout);
    }
    assert_eq!(run(bench, &[&["--diff"], force].concat()).expect_code(0).stdout, "");
}

#[test]
fn a_diff_applied_by_git_or_patch_gives_the_tree_of_the_run() {
    let bench = Bench::new();
    corpus(&bench, 3);
    version(&bench, 1);
    same(&bench, &[GIT, PATCH], &[]);
    version(&bench, 2);
    bench.write("out/node_sum_002_compute/dashes.txt", "mine, and without an end");
    same(&bench, &[GIT, PATCH], &["--force"]);
    // Back: now an empty file leaves, which `patch` cannot do, and an edit is kept.
    version(&bench, 1);
    bench.write("out/node_sum_001_compute/same.txt", "mine\n");
    same(&bench, &[GIT], &[]);
    assert_eq!(fs::read(bench.path("out/node_sum_001_compute/same.txt")).unwrap(), b"mine\n");
}

#[test]
fn an_edit_whose_plan_stays_is_kept_by_every_later_run_and_is_no_fault_of_a_check() {
    let bench = Bench::new();
    corpus(&bench, 2);
    version(&bench, 1);
    run(&bench, &[]).expect_code(0);
    bench.write("out/node_sum_001_compute/same.txt", "mine\n");
    for number in [1, 2, 2, 1] {
        version(&bench, number);
        let summary = json(&bench, 0, &[]);
        assert_eq!((&summary["files_kept"], &summary["status"]), (&1.into(), &"complete".into()), "{summary}");
        assert_eq!(
            (&summary["packages"][0]["files_kept"], &summary["packages"][1]["files_kept"]),
            (&0.into(), &1.into())
        );
        let ended = run(&bench, &[]).expect_code(0);
        assert!(ended.stdout.contains("kept        1 edited file, left as found"), "{}", ended.stdout);
        let counted = format!("0 written, {} unchanged, ", 2 * texts(number).len() - 1);
        assert!(ended.stdout.contains(&counted), "`{counted}` is missing in\n{}", ended.stdout);
        assert!(ended.stderr.is_empty(), "{}", ended.stderr);
        let checked = run(&bench, &["--check"]).expect_code(0);
        assert!(checked.stdout.starts_with("edited   node_sum_001_compute/same.txt\n2 packages"), "{}", checked.stdout);
        assert!(
            checked.stdout.ends_with(": 2 as planned; 1 edited file\n") && checked.stderr.is_empty(),
            "{checked:?}"
        );
        assert_eq!(json(&bench, 0, &["--check"])["states"], serde_json::json!({ "edited": 1 }));
        assert_eq!(run(&bench, &["--diff"]).expect_code(0).stdout, "");
    }
    // A run with --force takes it, and keeps a copy.
    let forced = json(&bench, 0, &["--force"]);
    assert_eq!((&forced["files_kept"], &forced["files_written"]), (&0.into(), &1.into()), "{forced}");
    assert!(run(&bench, &["--check"]).expect_code(0).stdout.ends_with(": 2 as planned\n"));
}

#[test]
fn a_diff_in_which_files_and_folders_change_places_is_applied_by_git() {
    let bench = Bench::new();
    corpus(&bench, 2);
    let (one, two) = ([("swap", "a file\n"), ("paws/in.txt", "in\n")], [("swap/in.txt", "in\n"), ("paws", "a file\n")]);
    for files in [one, two, one] {
        pack(&bench, &files);
        same(&bench, &[GIT], &[]);
    }
}

#[test]
fn a_diff_is_the_same_with_any_number_of_workers_and_leaves_out_what_a_run_refuses() {
    let bench = Bench::new();
    corpus(&bench, 12);
    version(&bench, 1);
    run(&bench, &[]).expect_code(0);
    version(&bench, 2);
    bench.write("out/node_sum_005_compute/end.txt", "mine\n");
    let one = run(&bench, &["--diff", "--workers", "1"]).expect_code(1);
    let many = run(&bench, &["--diff", "--workers", "7"]).expect_code(1);
    assert_eq!(one.stdout, many.stdout);
    assert!(!one.stdout.contains("node_sum_005"), "{}", one.stdout);
    assert!(one.stderr.contains("node_sum_005") && one.stderr.contains("end.txt"), "{}", one.stderr);
    assert!(!one.stdout.contains('\x1b'), "no colour without a terminal");
    let names: Vec<_> = one.stdout.lines().filter_map(|line| line.strip_prefix("diff --git a/")).collect();
    let packages: Vec<_> = names.iter().map(|name| name.split('/').next().unwrap()).collect();
    assert!(packages.is_sorted() && names.len() == 11 * 9, "{names:?}");
    let report = json(&bench, 1, &["--diff"]);
    let joined: String = report["packages"].as_array().unwrap().iter().map(|it| it["diff"].as_str().unwrap()).collect();
    assert_eq!(joined, one.stdout);
}

#[test]
fn a_check_tells_missing_stale_edited_conflict_and_unknown_apart_and_exits_by_them() {
    let bench = Bench::new();
    corpus(&bench, 2);
    version(&bench, 1);
    run(&bench, &["--check"]).expect_code(4);
    run(&bench, &[]).expect_code(0);
    let fresh = run(&bench, &["--check"]).expect_code(0);
    assert!(fresh.stdout.contains("2 as planned\n") && fresh.stderr.is_empty(), "{fresh:?}");

    // A person's own files and caches are no fault.
    bench.write("out/node_sum_000_compute/notes/mine.txt", "mine\n");
    bench.write("out/node_sum_000_compute/a/__pycache__/x.pyc", "cache");
    let own = run(&bench, &["--check"]).expect_code(0);
    assert!(own.stdout.contains("unknown  node_sum_000_compute/notes/mine.txt\n2 packages"), "{}", own.stdout);

    // What a run mends.
    version(&bench, 2);
    fs::remove_file(bench.path("out/node_sum_000_compute/same.txt")).unwrap();
    let stale = run(&bench, &["--check"]).expect_code(4);
    for line in [
        "missing  node_sum_000_compute/same.txt\n",
        "stale    node_sum_000_compute/a/long.txt\n",
        "stale    node_sum_000_compute/gone/deep/x.txt (not planned any more)\n",
        "unknown  node_sum_000_compute/notes/mine.txt\n",
    ] {
        assert!(stale.stdout.contains(line), "`{line}` is missing in\n{}", stale.stdout);
    }
    assert!(stale.stderr.contains("omninode generate"), "{}", stale.stderr);

    // An edit whose plan stays is no fault either; what else there is still decides.
    bench.write("out/node_sum_001_compute/same.txt", "mine\n");
    let kept = run(&bench, &["--check"]).expect_code(4);
    assert!(kept.stdout.contains("edited   node_sum_001_compute/same.txt\n"), "{}", kept.stdout);
    assert!(kept.stdout.contains("; 1 edited file; 1 unknown file\n") && !kept.stderr.contains("--force"), "{kept:?}");

    // What needs a person: an edit of what has another plan now, and a file added where the plan wants one.
    bench.write("out/node_sum_000_compute/a/long.txt", "mine\n");
    bench.write("out/node_sum_001_compute/new/deep/y.txt", "mine too\n");
    // Edited, but not planned any more: no longer ours.
    bench.write("out/node_sum_001_compute/gone/deep/x.txt", "kept\n");
    let edited = run(&bench, &["--check"]).expect_code(5);
    for line in [
        "conflict node_sum_000_compute/a/long.txt\n",
        "conflict node_sum_001_compute/new/deep/y.txt\n",
        "edited   node_sum_001_compute/same.txt\n",
        "unknown  node_sum_001_compute/gone/deep/x.txt\n",
    ] {
        assert!(edited.stdout.contains(line), "`{line}` is missing in\n{}", edited.stdout);
    }
    assert!(edited.stderr.contains("--force") && edited.stdout.contains("; 2 conflicts; "), "{edited:?}");
    assert_eq!(json(&bench, 5, &["--check"])["status"], "conflict");

    // A contract that fails comes before everything else.
    bench.write("contracts/bad/contract.yaml", "name: node_bad\nnode_type: WIDGET\n");
    run(&bench, &["--check"]).expect_code(1);
}

#[test]
fn what_is_in_the_way_of_a_package_needs_a_person() {
    let bench = Bench::new();
    corpus(&bench, 1);
    version(&bench, 1);
    run(&bench, &[]).expect_code(0);
    let file = bench.path("out/node_sum_000_compute/same.txt");
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/null", &file).unwrap();
    let ended = run(&bench, &["--check"]).expect_code(5);
    assert!(ended.stderr.contains("symbolic link"), "{}", ended.stderr);
    assert_eq!(json(&bench, 5, &["--check"])["failures"][0]["cause"], "conflict");
}

#[test]
fn an_interrupted_update_is_stale_and_not_edited() {
    let bench = Bench::new();
    corpus(&bench, 1);
    version(&bench, 1);
    run(&bench, &[]).expect_code(0);
    let target = bench.path("out/node_sum_000_compute");
    let old = fs::read(target.join(".omninode.json")).unwrap();
    let long = fs::read(target.join("a/long.txt")).unwrap();
    version(&bench, 2);
    run(&bench, &[]).expect_code(0);
    // As a kill leaves it: the journal written, every file but one replaced.
    let mut journal: Value = serde_json::from_slice(&old).unwrap();
    let new: Value = serde_json::from_slice(&fs::read(target.join(".omninode.json")).unwrap()).unwrap();
    journal["pending"] = new["files"].clone();
    fs::write(target.join(".omninode.json"), serde_json::to_vec_pretty(&journal).unwrap()).unwrap();
    fs::write(target.join("a/long.txt"), long).unwrap();
    let report = json(&bench, 4, &["--check"]);
    let only = serde_json::json!([{ "path": "a/long.txt", "state": "stale", "action": "replace" }]);
    assert_eq!(report["packages"][0]["files"], only);
    version(&bench, 1);
    let back = json(&bench, 4, &["--check"]);
    assert!(
        back["states"]["edited"].is_null()
            && back["states"]["conflict"].is_null()
            && back["states"]["stale"].as_u64() > Some(1),
        "{back}"
    );
    // Nothing but the record is left to write.
    version(&bench, 2);
    let patch = run(&bench, &["--diff"]).expect_code(0).stdout;
    assert!(patch.contains("+++ b/node_sum_000_compute/.omninode.json") && patch.contains("-  \"pending\""), "{patch}");
    run(&bench, &[]).expect_code(0);
    fs::write(target.join(".omninode.json"), serde_json::to_vec_pretty(&journal).unwrap()).unwrap();
    let record = json(&bench, 4, &["--check"]);
    assert_eq!(record["packages"][0]["files"][0]["path"], ".omninode.json", "{record}");
}

#[test]
fn a_run_that_writes_keeps_the_questions_out_and_they_share_the_folder_among_them() {
    let bench = Bench::new();
    corpus(&bench, 1);
    version(&bench, 1);
    run(&bench, &[]).expect_code(0);
    let folder = fs::File::open(bench.out()).unwrap();
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    for flag in ["--dry-run", "--diff", "--check"] {
        let ended = run(&bench, &[flag]).expect_code(3);
        assert!(ended.stderr.contains("another omninode run uses the output folder"), "{}", ended.stderr);
    }
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockShared).unwrap();
    run(&bench, &["--check"]).expect_code(0);
    run(&bench, &[]).expect_code(3);
}

#[test]
fn combinations_without_sense_are_refused_with_what_to_do() {
    let bench = Bench::new();
    corpus(&bench, 1);
    for (flags, says) in [
        (&["--check", "--diff"][..], "cannot be used with"),
        (&["--check", "--dry-run"], "cannot be used with"),
        (&["--diff", "--dry-run"], "cannot be used with"),
        (&["--check", "--force"], "leave one of the two out"),
        (&["--format", "sarif"], "add --check"),
        (&["--diff", "--format", "sarif"], "add --check"),
    ] {
        let ended = bench.generate([&["contracts"], flags].concat()).expect_code(2);
        assert!(ended.stderr.contains(says), "{flags:?}: {}", ended.stderr);
        assert!(!bench.out().exists());
    }
}
