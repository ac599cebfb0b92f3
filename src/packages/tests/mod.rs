mod edits;
mod histories;

use std::os::unix::fs::MetadataExt as _;

use super::*;

fn package(files: &[(&str, &str)]) -> Package {
    let mut files: Vec<_> = files
        .iter()
        .map(|(path, content)| codegen::File { path: (*path).to_owned(), content: (*content).to_owned() })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Package { name: "node_x".to_owned(), source: Arc::from("x.yaml"), files }
}

fn hashes(package: &Package) -> BTreeMap<String, String> {
    package.files.iter().map(|file| (file.path.clone(), hash(file.content.as_bytes()))).collect()
}

struct Bench {
    _folder: tempfile::TempDir,
    out: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        Self { _folder: folder, out }
    }

    /// One run that writes one package.
    fn run(&self, force: bool, files: &[(&str, &str)]) -> Result<Written, JobFailure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _guard = runtime.enter();
        let folder = OutputFolder::open(&self.out, force).unwrap();
        let written = folder.inner.write(&package(files));
        folder.finish(true).unwrap();
        written
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.out.join("node_x").join(path)).unwrap()
    }
}

fn message(result: Result<Written, JobFailure>) -> String {
    result.unwrap_err().message()
}

#[test]
fn a_new_package_is_written_and_a_second_run_writes_no_file() {
    let bench = Bench::new();
    let files = [("node.py", "a = 1\n"), ("models/m.py", "b = 2\n")];
    let first = bench.run(false, &files).unwrap();
    assert_eq!((first.files, first.files_written, first.bytes), (2, 2, 12));
    let before = fs::metadata(bench.out.join("node_x/.omninode.json")).unwrap().ino();
    assert_eq!(bench.run(false, &files).unwrap().files_written, 0);
    assert_eq!(fs::metadata(bench.out.join("node_x/.omninode.json")).unwrap().ino(), before);
    let left: Vec<_> = fs::read_dir(&bench.out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["node_x"], "nothing of ours is left lying about");
}

#[test]
fn an_update_replaces_changed_files_and_removes_untouched_ones_that_left_the_plan() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("b.py", "2"), ("c.py", "3"), ("d.py", "4")]).unwrap();
    fs::write(bench.out.join("node_x/d.py"), "mine").unwrap();
    let kept = fs::metadata(bench.out.join("node_x/a.py")).unwrap().ino();
    assert_eq!(bench.run(false, &[("a.py", "1"), ("b.py", "two")]).unwrap().files_written, 1);
    assert_eq!(fs::metadata(bench.out.join("node_x/a.py")).unwrap().ino(), kept, "an unchanged file is not rewritten");
    assert_eq!(bench.read("b.py"), "two");
    assert!(!bench.out.join("node_x/c.py").exists());
    assert_eq!(bench.read("d.py"), "mine", "an edited file that left the plan stays");
}

#[test]
fn an_edit_in_conflict_is_never_overwritten_without_force_and_with_it_a_copy_is_kept() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("b.py", "2")]).unwrap();
    fs::write(bench.out.join("node_x/a.py"), "mine").unwrap();
    let refused = message(bench.run(false, &[("a.py", "one"), ("b.py", "two")]));
    assert!(refused.contains("a.py") && refused.contains("--force"), "{refused}");
    assert_eq!(
        (bench.read("a.py"), bench.read("b.py")),
        ("mine".to_owned(), "2".to_owned()),
        "nothing of it was written"
    );
    bench.run(true, &[("a.py", "one"), ("b.py", "two")]).unwrap();
    assert_eq!(bench.read("a.py"), "one");
    let kept = bench.out.join(".omninode/kept/node_x").join(&hash(b"mine")[..16]).join("a.py");
    assert_eq!(fs::read_to_string(kept).unwrap(), "mine");
}

#[test]
fn an_edit_whose_plan_has_not_changed_is_kept_and_the_other_files_are_updated() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("b.py", "1")]).unwrap();
    fs::write(bench.out.join("node_x/a.py"), "mine").unwrap();
    for (b, files_written) in [("1", 0), ("2", 1), ("2", 0), ("3", 1)] {
        let plan = [("a.py", "1"), ("b.py", b)];
        let written = bench.run(false, &plan).unwrap();
        assert_eq!((written.files, written.files_written, written.files_kept), (2, files_written, 1));
        assert_eq!((bench.read("a.py"), bench.read("b.py")), ("mine".to_owned(), b.to_owned()));
        let recorded = Manifest::read(&bench.out.join("node_x")).unwrap().unwrap();
        assert_eq!(recorded.files, hashes(&package(&plan)), "the manifest says what we wrote");
    }
    // The plan changes: now the edit is in its way, until the plan is back.
    assert!(message(bench.run(false, &[("a.py", "2"), ("b.py", "4")])).contains("is planned there now: a.py;"));
    assert_eq!((bench.read("a.py"), bench.read("b.py")), ("mine".to_owned(), "3".to_owned()));
    assert_eq!(bench.run(false, &[("a.py", "1"), ("b.py", "4")]).unwrap().files_kept, 1);
    // Edited once more, to what is planned: ours again.
    fs::write(bench.out.join("node_x/a.py"), "1").unwrap();
    assert_eq!(bench.run(false, &[("a.py", "2"), ("b.py", "4")]).unwrap().files_kept, 0);
    assert_eq!(bench.read("a.py"), "2");
}

#[test]
fn force_overwrites_kept_edits_too_and_keeps_a_copy_of_each() {
    let bench = Bench::new();
    let plan = [("a.py", "1"), ("b.py", "1")];
    bench.run(false, &plan).unwrap();
    fs::write(bench.out.join("node_x/a.py"), "mine").unwrap();
    let written = bench.run(true, &plan).unwrap();
    assert_eq!((written.files_written, written.files_kept), (1, 0));
    assert_eq!(bench.read("a.py"), "1");
    let kept = bench.out.join(".omninode/kept/node_x").join(&hash(b"mine")[..16]).join("a.py");
    assert_eq!(fs::read_to_string(kept).unwrap(), "mine");
}

#[test]
fn an_update_that_was_killed_half_way_is_completed_by_the_next_run() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("b.py", "2")]).unwrap();
    // As a kill leaves it: the journal written, one of two files replaced.
    let target = bench.out.join("node_x");
    let mut manifest = Manifest::read(&target).unwrap().unwrap();
    manifest.pending = hashes(&package(&[("a.py", "one"), ("b.py", "two")]));
    fs::write(target.join(FILE_NAME), manifest.to_bytes()).unwrap();
    fs::write(target.join("a.py"), "one").unwrap();
    // The next run even has a third version.
    bench.run(false, &[("a.py", "uno"), ("b.py", "dos")]).unwrap();
    assert_eq!((bench.read("a.py"), bench.read("b.py")), ("uno".to_owned(), "dos".to_owned()));
    assert!(Manifest::read(&target).unwrap().unwrap().pending.is_empty());
}

#[test]
fn what_a_killed_run_staged_is_cleared() {
    let bench = Bench::new();
    fs::create_dir_all(bench.out.join(".omninode/staging-1/0/models")).unwrap();
    bench.run(false, &[("a.py", "1")]).unwrap();
    assert!(!bench.out.join(".omninode").exists());
}

#[test]
fn a_folder_of_somebody_else_and_a_link_are_refused() {
    let bench = Bench::new();
    fs::create_dir_all(bench.out.join("node_x")).unwrap();
    assert!(message(bench.run(false, &[("a.py", "1")])).contains("exists already"));
    fs::remove_dir(bench.out.join("node_x")).unwrap();
    bench.run(false, &[("m/a.py", "1")]).unwrap();
    fs::remove_dir_all(bench.out.join("node_x/m")).unwrap();
    std::os::unix::fs::symlink("/tmp", bench.out.join("node_x/m")).unwrap();
    assert!(message(bench.run(false, &[("m/a.py", "2")])).contains("symbolic link"));
}

#[test]
fn two_runs_cannot_write_to_one_folder() {
    let bench = Bench::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let first = OutputFolder::open(&bench.out, false).unwrap();
    let refused = OutputFolder::open(&bench.out, false).err().unwrap();
    assert!(refused.contains("another omninode run"), "{refused}");
    drop(first);
    OutputFolder::open(&bench.out, false).unwrap();
}

#[test]
fn an_update_that_was_killed_twice_still_knows_its_own_files() {
    let bench = Bench::new();
    let target = bench.out.join("node_x");
    bench.run(false, &[("0.py", "1"), ("a.py", "1"), ("b.py", "1")]).unwrap();
    // Killed after it had replaced one file by version 2.
    let mut manifest = Manifest::read(&target).unwrap().unwrap();
    manifest.pending = hashes(&package(&[("0.py", "1"), ("a.py", "1"), ("b.py", "2"), ("new.py", "2")]));
    fs::write(target.join(FILE_NAME), manifest.to_bytes()).unwrap();
    for path in ["b.py", "new.py"] {
        fs::write(target.join(path), "2").unwrap();
    }
    // The next one, to version 3, ends right after its journal: its first file is not as it was compared.
    {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _guard = runtime.enter();
        let folder = OutputFolder::open(&bench.out, false).unwrap();
        let planned = package(&[("a.py", "3"), ("b.py", "3")]);
        let comparison = compare(&planned, &target, false).unwrap();
        fs::write(target.join("0.py"), "saved").unwrap();
        let manifest = comparison.manifest.clone().unwrap();
        folder.inner.update(&planned, &comparison, manifest, &target).unwrap_err();
        fs::write(target.join("0.py"), "1").unwrap();
    }
    assert_eq!(
        (bench.read("a.py"), bench.read("b.py")),
        ("1".to_owned(), "2".to_owned()),
        "the test stops it too late"
    );
    bench.run(false, &[("a.py", "3"), ("b.py", "3")]).unwrap();
    assert_eq!((bench.read("a.py"), bench.read("b.py")), ("3".to_owned(), "3".to_owned()));
    assert!(!target.join("new.py").exists(), "what only the first kill left behind is ours to remove");
}

#[test]
fn files_and_folders_take_each_others_places_unless_a_person_has_something_there() {
    let bench = Bench::new();
    let target = bench.out.join("node_x");
    bench.run(false, &[("a", "1")]).unwrap();
    bench.run(false, &[("a/b.py", "1")]).unwrap();
    assert_eq!(bench.read("a/b.py"), "1");
    bench.run(false, &[("c.py", "1")]).unwrap();
    assert!(!target.join("a").exists(), "an emptied folder of ours goes too");
    bench.run(false, &[("a/b.py", "1")]).unwrap();
    fs::write(target.join("a/mine.txt"), "mine").unwrap();
    let refused = message(bench.run(false, &[("a", "1")]));
    assert!(refused.contains("in the way"), "{refused}");
    assert_eq!(bench.read("a/mine.txt"), "mine");
}

#[test]
fn a_manifest_that_names_files_outside_the_package_is_refused() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1")]).unwrap();
    let victim = bench.out.join("victim.py");
    fs::write(&victim, "1").unwrap();
    for path in ["../victim.py", "/etc/passwd", "a/../../victim.py"] {
        let manifest = Manifest::new(BTreeMap::from([(path.to_owned(), hash(b"1"))]));
        fs::write(bench.out.join("node_x").join(FILE_NAME), manifest.to_bytes()).unwrap();
        assert!(message(bench.run(false, &[("a.py", "2")])).contains("names `"), "{path}");
        assert!(victim.exists());
    }
}

#[test]
fn a_replaced_file_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1")]).unwrap();
    let path = bench.out.join("node_x/a.py");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    bench.run(false, &[("a.py", "2")]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o664);
}

#[test]
fn two_sources_of_one_package_in_one_run_are_refused() {
    let bench = Bench::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let folder = OutputFolder::open(&bench.out, false).unwrap();
    folder.inner.write(&package(&[("a.py", "1")])).unwrap();
    folder.inner.write(&package(&[("a.py", "2")])).unwrap();
    let other = Package { source: Arc::from("y.yaml"), ..package(&[("a.py", "3")]) };
    assert!(message(folder.inner.write(&other)).contains("another contract"));
    assert_eq!(bench.read("a.py"), "2");
}

#[test]
fn a_folder_that_a_killed_run_made_and_left_empty_is_ours_and_one_of_a_person_is_not() {
    let bench = Bench::new();
    let target = bench.out.join("node_x");
    let killed = |planned: &[(&str, &str)], folder: &str| {
        let mut manifest = Manifest::read(&target).unwrap().unwrap();
        manifest.pending = hashes(&package(planned));
        fs::write(target.join(FILE_NAME), manifest.to_bytes()).unwrap();
        fs::create_dir_all(target.join(folder)).unwrap();
    };
    bench.run(false, &[("a.py", "1"), ("swap", "1")]).unwrap();
    // On the way from a file to a folder, and back again; and a folder that no later plan has.
    fs::remove_file(target.join("swap")).unwrap();
    killed(&[("a.py", "1"), ("swap/deep/in.py", "1"), ("new/deep/x.py", "1")], "swap/deep");
    fs::create_dir_all(target.join("new/deep")).unwrap();
    bench.run(false, &[("a.py", "1"), ("swap", "1")]).unwrap();
    assert_eq!(bench.read("swap"), "1");
    assert!(!target.join("new").exists());
    fs::create_dir(target.join("mine")).unwrap();
    let refused = message(bench.run(false, &[("a.py", "1"), ("mine", "1")]));
    assert!(refused.contains("in the way"), "{refused}");
    bench.run(false, &[("a.py", "2")]).unwrap();
    assert!(target.join("mine").is_dir());
}
