//! What a person wrote, added, deleted or put in the way.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// The copies that `--force` kept.
fn copies(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let root = bench.out.join(".omninode/kept/node_x");
    let walk = ignore::WalkBuilder::new(&root).standard_filters(false).sort_by_file_path(Path::cmp).build();
    let files = walk.flatten().filter(|entry| entry.path().is_file());
    let name = |entry: &ignore::DirEntry| entry.path().strip_prefix(&root).unwrap().display().to_string();
    files.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_file_that_was_added_where_a_later_plan_wants_one_is_a_persons() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1")]).unwrap();
    fs::create_dir(bench.out.join("node_x/models")).unwrap();
    fs::write(bench.out.join("node_x/models/b.py"), "mine").unwrap();
    let plan = [("a.py", "2"), ("models/b.py", "2")];
    let refused = message(bench.run(false, &plan));
    assert!(refused.contains("models/b.py") && !refused.contains("a.py"), "{refused}");
    assert_eq!((bench.read("a.py"), bench.read("models/b.py")), ("1".to_owned(), "mine".to_owned()));
    bench.run(true, &plan).unwrap();
    assert_eq!(bench.read("models/b.py"), "2");
    assert_eq!(copies(&bench), [(format!("{}/models/b.py", &hash(b"mine")[..16]), b"mine".to_vec())]);
}

#[test]
fn a_file_that_was_added_in_a_folder_that_leaves_the_plan_stays_where_it_is() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("old/b.py", "1"), ("old/c.py", "1")]).unwrap();
    fs::write(bench.out.join("node_x/old/.mine"), "mine").unwrap();
    fs::write(bench.out.join("node_x/old/c.py"), "edited").unwrap();
    for force in [false, true] {
        bench.run(force, &[("a.py", "1")]).unwrap();
        assert_eq!((bench.read("old/.mine"), bench.read("old/c.py")), ("mine".to_owned(), "edited".to_owned()));
        assert!(!bench.out.join("node_x/old/b.py").exists());
    }
    // It was let go: when a plan wants its place again, it is a person's.
    assert!(message(bench.run(false, &[("a.py", "1"), ("old/c.py", "2")])).contains("old/c.py"));
}

#[test]
fn a_deleted_file_comes_back_and_one_that_was_edited_back_is_ours_again() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("m/b.py", "1")]).unwrap();
    fs::remove_dir_all(bench.out.join("node_x/m")).unwrap();
    fs::write(bench.out.join("node_x/a.py"), "mine").unwrap();
    assert!(bench.run(false, &[("a.py", "2"), ("m/b.py", "2")]).is_err());
    fs::write(bench.out.join("node_x/a.py"), "1").unwrap();
    bench.run(false, &[("a.py", "2"), ("m/b.py", "2")]).unwrap();
    assert_eq!((bench.read("a.py"), bench.read("m/b.py")), ("2".to_owned(), "2".to_owned()));
    // What a person wrote just as the plan has it is ours too.
    fs::write(bench.out.join("node_x/a.py"), "3").unwrap();
    bench.run(false, &[("a.py", "3"), ("m/b.py", "2")]).unwrap();
    bench.run(false, &[("a.py", "4"), ("m/b.py", "2")]).unwrap();
    assert_eq!(bench.read("a.py"), "4");
}

#[test]
fn edits_that_are_no_text_are_kept_byte_for_byte_each_with_its_mode() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1")]).unwrap();
    let path = bench.out.join("node_x/a.py");
    let edits: [&[u8]; 3] = [b"\xff\xfe\0binary\r\n", b"", b"secret"];
    for (number, edit) in edits.iter().enumerate() {
        fs::write(&path, edit).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let next = format!("generated {number}");
        assert!(bench.run(false, &[("a.py", &next)]).is_err());
        assert_eq!(fs::read(&path).unwrap(), *edit);
        bench.run(true, &[("a.py", &next)]).unwrap();
        assert_eq!((bench.read("a.py"), copies(&bench).len()), (next, number + 1));
    }
    for edit in edits {
        let (name, content) = copies(&bench).into_iter().find(|(_, content)| content == edit).unwrap();
        assert_eq!((name, content), (format!("{}/a.py", &hash(edit)[..16]), edit.to_vec()));
    }
    let mode = fs::metadata(bench.out.join(".omninode/kept/node_x").join(&copies(&bench)[0].0)).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600, "a copy may not be read by more people than the file");
}

#[test]
fn nothing_is_written_through_a_link_nor_is_a_link_replaced_with_or_without_force() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("m/b.py", "1")]).unwrap();
    let elsewhere = bench.out.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("b.py"), "1").unwrap();
    let target = bench.out.join("node_x");
    for link in ["a.py", "m", "m/b.py", ".omninode.json", ""] {
        let place = if link.is_empty() { target.clone() } else { target.join(link) };
        let aside = bench.out.join("aside");
        fs::rename(&place, &aside).unwrap();
        symlink(if aside.is_dir() { elsewhere.clone() } else { elsewhere.join("b.py") }, &place).unwrap();
        for force in [false, true] {
            bench.run(force, &[("a.py", "2"), ("m/b.py", "2")]).unwrap_err();
        }
        assert!(fs::symlink_metadata(&place).unwrap().is_symlink(), "`{link}` was replaced");
        assert_eq!(fs::read_to_string(elsewhere.join("b.py")).unwrap(), "1", "`{link}` was written through");
        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
    }
    // A link in a place that is not planned any more is not ours to remove.
    fs::remove_file(target.join("m/b.py")).unwrap();
    symlink(elsewhere.join("b.py"), target.join("m/b.py")).unwrap();
    bench.run(false, &[("a.py", "2")]).unwrap();
    assert!(fs::symlink_metadata(target.join("m/b.py")).unwrap().is_symlink());
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_holds_up_nobody() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("b.py", "1")]).unwrap();
    for place in ["a.py", ".omninode.json"] {
        let (place, aside) = (bench.out.join("node_x").join(place), bench.out.join("aside"));
        fs::rename(&place, &aside).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
        let refused = message(bench.run(true, &[("a.py", "2"), ("b.py", "2")]));
        assert!(refused.contains("neither a file nor a folder") || refused.contains("no plain file"), "{refused}");
        fs::rename(&aside, &place).unwrap();
    }
    assert_eq!(bench.read("b.py"), "1");
}

#[test]
fn a_read_only_file_of_ours_is_replaced_and_stays_read_only_and_one_of_a_person_is_kept() {
    let bench = Bench::new();
    bench.run(false, &[("a.py", "1"), ("b.py", "1")]).unwrap();
    let (ours, mine) = (bench.out.join("node_x/a.py"), bench.out.join("node_x/b.py"));
    fs::write(&mine, "mine").unwrap();
    for path in [&ours, &mine] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    assert!(bench.run(false, &[("a.py", "2"), ("b.py", "2")]).is_err());
    assert_eq!(bench.read("b.py"), "mine");
    bench.run(true, &[("a.py", "2"), ("b.py", "2")]).unwrap();
    assert_eq!((bench.read("a.py"), bench.read("b.py")), ("2".to_owned(), "2".to_owned()));
    assert_eq!(fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(copies(&bench)[0].1, b"mine");
}

#[test]
fn whatever_a_person_has_in_a_folder_that_becomes_a_file_is_in_the_way() {
    for (name, is_folder) in [(".hidden", false), ("ignored.log", false), ("empty", true), ("sub/.gitignore", false)] {
        let bench = Bench::new();
        bench.run(false, &[("a/b.py", "1")]).unwrap();
        let mine = bench.out.join("node_x/a").join(name);
        fs::write(bench.out.join(".gitignore"), "*.log\n").unwrap();
        if is_folder {
            fs::create_dir_all(&mine).unwrap();
        } else {
            fs::create_dir_all(mine.parent().unwrap()).unwrap();
            fs::write(&mine, "mine").unwrap();
        }
        for force in [false, true] {
            let refused = message(bench.run(force, &[("a", "1")]));
            assert!(refused.contains("in the way of a generated file"), "{name}: {refused}");
            assert!(mine.exists() && bench.read("a/b.py") == "1", "{name}: nothing was touched");
        }
    }
}

#[test]
fn an_edit_that_is_saved_during_an_update_is_not_overwritten() {
    let all = |version| [("a.py", version), ("b.py", version), ("c.py", version)];
    for force in [false, true] {
        for plan in [&all("2")[..], &[("a.py", "2"), ("c.py", "2")]] {
            let bench = Bench::new();
            bench.run(false, &all("1")).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let guard = runtime.enter();
            let folder = OutputFolder::open(&bench.out, force).unwrap();
            let target = bench.out.join("node_x");
            let planned = package(plan);
            let comparison = compare(&planned, &target, force).unwrap();
            fs::write(target.join("b.py"), "saved meanwhile").unwrap();
            let manifest = comparison.manifest.clone().unwrap();
            let fault = folder.inner.update(&planned, &comparison, manifest, &target).unwrap_err();
            assert!(fault.to_string().contains("b.py was edited while"), "{fault}");
            assert_eq!(bench.read("b.py"), "saved meanwhile");
            drop((folder, guard));
            // The next run sees an edit, and completes the rest once it is settled.
            assert!(message(bench.run(false, &all("2"))).contains("edited"));
            fs::remove_file(target.join("b.py")).unwrap();
            bench.run(false, &all("2")).unwrap();
            assert_eq!((bench.read("b.py"), bench.read("c.py")), ("2".to_owned(), "2".to_owned()));
        }
    }
}

#[test]
fn only_what_a_run_has_staged_is_cleared_and_nothing_through_a_link() {
    let bench = Bench::new();
    let own = bench.out.join(".omninode");
    for name in ["staging-mine", "staging-", "notes", "staging-4711"] {
        fs::create_dir_all(own.join(name)).unwrap();
        fs::write(own.join(name).join("f"), "precious").unwrap();
    }
    fs::write(own.join("staging-12"), "a file").unwrap();
    bench.run(false, &[("a.py", "1")]).unwrap();
    for name in ["staging-mine/f", "staging-/f", "notes/f", "staging-12"] {
        assert!(own.join(name).exists(), "{name}");
    }
    assert!(!own.join("staging-4711").exists());
    let elsewhere = bench.out.join("../elsewhere");
    fs::create_dir_all(elsewhere.join("staging-1")).unwrap();
    fs::remove_dir_all(&own).unwrap();
    symlink(&elsewhere, &own).unwrap();
    let fault = OutputFolder::open(&bench.out, false).err().unwrap();
    assert!(fault.contains(".omninode is in the way: it is a link"), "{fault}");
    assert!(elsewhere.join("staging-1").exists());
}

#[test]
fn a_pipe_in_the_place_of_a_folder_is_in_the_way_before_anything_is_written() {
    let bench = Bench::new();
    bench.run(false, &[("a/x.py", "1"), ("b.py", "1")]).unwrap();
    fs::remove_dir_all(bench.out.join("node_x/a")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.out.join("node_x/a"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let refused = message(bench.run(false, &[("a/x.py", "2"), ("b.py", "2")]));
    assert!(refused.contains("node_x/a") && refused.contains("is in the way"), "{refused}");
    assert_eq!(bench.read("b.py"), "1");
}
