//! Output folders that are full, read-only or in use.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Bench, Ended, corpus, packages, tree};

/// A small file system of its own in the scratch folder, where this user may mount one (root).
struct Disk<'b>(&'b Bench);

impl<'b> Disk<'b> {
    /// `None`, said aloud, where nothing can be mounted.
    fn mount(bench: &'b Bench, kilobytes: usize) -> Option<Self> {
        fs::create_dir_all(bench.out()).unwrap();
        let size = format!("size={kilobytes}k");
        let mut command = Command::new("mount");
        let mounted =
            command.args(["-t", "tmpfs", "-o", &size, "none"]).arg(bench.out()).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(bench));
        }
        eprintln!("SKIPPED: this user cannot mount a tmpfs; run as root to see what a full or read-only disk does");
        None
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0.out()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.out()).status();
    }
}

/// A pack whose packages have ten files of some 16 KiB; `version` stands in every line.
fn pack(bench: &Bench, version: usize) {
    let files: String = (0..10).map(|file| format!("  - {{path: m/f{file}.txt, template: f.j2}}\n")).collect();
    bench.write("pack/pack.yaml", format!("name: own\nversion: '1'\ndescription: mine\nfiles:\n{files}"));
    bench.write("pack/f.j2", format!("{{{{ node.package }}}} {version}\n").repeat(600));
}

fn arguments(bench: &Bench) -> [std::ffi::OsString; 3] {
    [bench.path("contracts").into_os_string(), "--pack".into(), bench.path("pack").into_os_string()]
}

/// Every file is one line many times: its versions.
fn versions(tree: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let files = tree.iter().filter(|(path, _)| path.ends_with(".txt"));
    let whole = files.map(|(path, content)| {
        let text = std::str::from_utf8(content).unwrap();
        let line = text.lines().next().unwrap_or_else(|| panic!("{path} is empty"));
        assert_eq!(text, format!("{line}\n").repeat(600), "{path} is torn");
        line.rsplit(' ').next().unwrap().to_owned()
    });
    whole.collect()
}

#[test]
fn a_disk_that_runs_full_in_a_first_run_shows_whole_packages_only_and_the_rest_comes_with_space() {
    let bench = Bench::new();
    corpus(&bench, 8);
    pack(&bench, 1);
    // Eight packages of ten files are 1,3 MiB: four or so fit.
    let Some(disk) = Disk::mount(&bench, 800) else { return };
    let ended = bench.generate(arguments(&bench)).expect_code(1);
    assert!(ended.stderr.contains("No space left") && ended.stderr.contains("free some space"), "{}", ended.stderr);
    let made = packages(&bench.out());
    assert!(!made.is_empty() && made.len() < 8, "{made:?}");
    assert_eq!(versions(&tree(&bench.out())).len(), made.len() * 10);
    assert!(!bench.out().join(".omninode").exists(), "nothing is left lying about");
    disk.remount("size=8m");
    bench.generate(arguments(&bench)).expect_code(0);
    assert_eq!(versions(&tree(&bench.out())), vec!["1"; 80]);
}

#[test]
fn a_disk_that_runs_full_in_an_update_leaves_every_file_old_or_new_and_a_run_with_space_completes_it() {
    let bench = Bench::new();
    corpus(&bench, 4);
    pack(&bench, 1);
    let Some(disk) = Disk::mount(&bench, 4_000) else { return };
    bench.generate(arguments(&bench)).expect_code(0);
    bench.write("out/node_sum_001_compute/m/mine.txt", "mine 1\n".repeat(600));
    // Longer files than before, and room for a part of them.
    pack(&bench, 22_222_222);
    bench.write("out/filler", "");
    let free = rustix::fs::statvfs(bench.out()).unwrap();
    let filler = fs::OpenOptions::new().write(true).open(bench.path("out/filler")).unwrap();
    rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, (free.f_bavail - 30) * free.f_frsize)
        .unwrap();
    drop(filler);
    let ended = bench.generate(arguments(&bench)).expect_code(1);
    assert!(ended.stderr.contains("No space left") && ended.stderr.contains("free some space"), "{}", ended.stderr);
    let found = versions(&tree(&bench.out()));
    assert_eq!(found.len(), 41);
    assert!(found.contains(&"1".to_owned()) && found.contains(&"22222222".to_owned()), "not in the middle: {found:?}");
    assert!(!bench.out().join(".omninode").exists(), "nothing is left lying about");
    fs::remove_file(bench.path("out/filler")).unwrap();
    disk.remount("size=8m");
    bench.generate(arguments(&bench)).expect_code(0);
    let found = versions(&tree(&bench.out()));
    assert_eq!(found.iter().filter(|version| *version == "22222222").count(), 40);
    assert_eq!(bench.path("out/node_sum_001_compute/m/mine.txt").metadata().unwrap().len(), 7 * 600);
}

/// A read-only output folder is one clear message, not one for each package; a check needs no more than to read it.
fn check_read_only(bench: &Bench, command: impl Fn(&[&str]) -> Command, says: &str) {
    let before = tree(&bench.out());
    let ended = Ended::of(&command(&[]).output().unwrap()).expect_code(3);
    assert!(
        ended.stderr.contains(says) && ended.stderr.contains("cannot write to the output folder"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert_eq!(tree(&bench.out()), before);
    Ended::of(&command(&["--check"]).output().unwrap()).expect_code(4);
    Ended::of(&command(&["--dry-run"]).output().unwrap()).expect_code(0);
}

#[test]
fn an_output_folder_on_a_read_only_disk_is_one_clear_message_and_can_be_checked() {
    let bench = Bench::new();
    corpus(&bench, 5);
    pack(&bench, 1);
    let Some(disk) = Disk::mount(&bench, 8_000) else { return };
    bench.generate(arguments(&bench)).expect_code(0);
    disk.remount("ro");
    pack(&bench, 2);
    let command = |more: &[&str]| {
        let mut command = bench.command(arguments(&bench));
        command.args(more);
        command
    };
    check_read_only(&bench, command, "Read-only file system");
    disk.remount("rw");
}

#[test]
fn an_output_folder_without_the_right_to_write_is_one_clear_message_and_can_be_checked() {
    let bench = Bench::new();
    corpus(&bench, 5);
    pack(&bench, 1);
    bench.generate(arguments(&bench)).expect_code(0);
    pack(&bench, 2);
    // Root may write everywhere: the program runs as nobody then, from where nobody may run it.
    let nobody = rustix::process::geteuid().is_root().then_some(65_534);
    let binary = bench.path("omninode");
    fs::copy(bench.command([""; 0]).get_program(), &binary).unwrap();
    let everybody = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    everybody(&bench.path("."), 0o755);
    everybody(&bench.out(), 0o555);
    let command = |more: &[&str]| {
        let plain = bench.command(arguments(&bench));
        let mut command = Command::new(&binary);
        command.args(plain.get_args()).args(more).current_dir(bench.path(".")).env("NO_COLOR", "1");
        if let Some(nobody) = nobody {
            command.uid(nobody);
        }
        command
    };
    check_read_only(&bench, command, "Permission denied");
    everybody(&bench.out(), 0o755);
}

#[test]
fn of_two_first_runs_at_once_on_one_folder_and_one_database_one_writes_and_the_other_says_why_not() {
    for _ in 0..4 {
        let bench = Bench::new();
        corpus(&bench, 60);
        pack(&bench, 1);
        let start = || bench.command(arguments(&bench)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let children = [start(), start()];
        let mut ended = children.map(|child| Ended::of(&child.wait_with_output().unwrap()));
        ended.sort_by_key(|ended| ended.code);
        assert_eq!((ended[0].code, &*ended[0].stderr), (Some(0), ""), "{ended:?}");
        // The second may come after the end of the first: then it has nothing to do.
        if ended[1].code != Some(0) {
            assert_eq!(ended[1].code, Some(3), "{ended:?}");
            assert!(ended[1].stderr.contains("another omninode run uses the output folder"), "{ended:?}");
        }
        assert_eq!(versions(&tree(&bench.out())).len(), 600);
        assert!(!bench.out().join(".omninode").exists());
    }
}

#[test]
fn two_first_runs_at_once_into_two_folders_share_one_database() {
    let bench = Bench::new();
    corpus(&bench, 30);
    pack(&bench, 1);
    let start = |out: &str| {
        let plain = bench.command(arguments(&bench));
        let mut arguments: Vec<_> = plain.get_args().map(ToOwned::to_owned).collect();
        let at = arguments.iter().position(|argument| argument == "--out").unwrap() + 1;
        arguments[at] = bench.path(out).into_os_string();
        let mut command = Command::new(plain.get_program());
        command.args(arguments).env("NO_COLOR", "1").current_dir(bench.path("."));
        command.args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for child in [start("one"), start("two"), start("three")] {
        let ended = Ended::of(&child.wait_with_output().unwrap()).expect_code(0);
        assert_eq!(ended.stderr, "");
        let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        // Seven rows a contract, and reports of the template cache.
        assert!(summary["rows_stored"].as_u64().unwrap() > 30 * 7, "{summary}");
        assert_eq!((&summary["rows_refused"], &summary["rows_dropped"]), (&0.into(), &0.into()));
    }
    assert_eq!(tree(&bench.path("one")), tree(&bench.path("two")));
    assert_eq!(tree(&bench.path("one")), tree(&bench.path("three")));
}
