use std::os::unix::fs::symlink;

use super::*;

fn folder() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let pack = root.path().join("own");
    std::fs::create_dir(&pack).unwrap();
    std::fs::write(pack.join("a.j2"), "1").unwrap();
    (root, pack)
}

#[test]
fn a_folder_has_one_name_however_it_is_spelled_and_no_other_folder_has_it() {
    let (root, pack) = folder();
    std::fs::create_dir_all(root.path().join("x/own")).unwrap();
    std::fs::write(root.path().join("x/own/a.j2"), "1").unwrap();
    let name = |path: &Path| read_jailed(path, "a.j2").unwrap().name;
    let own = name(&pack);
    assert!(own.starts_with("own@") && own.ends_with("/a.j2") && own.len() == "own@/a.j2".len() + 12, "{own}");
    assert_eq!(own, name(&root.path().join("x/../own")));
    symlink(&pack, root.path().join("link")).unwrap();
    assert_eq!(own, name(&root.path().join("link")), "a link to the folder is the folder");
    assert_ne!(own, name(&root.path().join("x/own")));
}

#[test]
fn every_name_fits_the_database_and_stays_the_only_one_of_its_kind() {
    let odd = Path::new("/a/ünï cödé with / and a very long name of its own");
    let long = |end: &str| qualified(odd, &format!("{}{end}", "sub/".repeat(100)));
    assert!((180..=NAME_CHARS_MAX).contains(&long("a.j2").chars().count()));
    assert_eq!(actors::template_cache::kind(&long("a.py.j2")).rsplit('/').next(), Some("py"));
    assert!(long(&format!("a.{}", "ü".repeat(300))).chars().count() <= NAME_CHARS_MAX);
    assert_ne!(long("a.j2"), long("b.j2"));
    assert!(long("a").split('/').next().unwrap().is_ascii());
    // A type is the pack and a kind, `PACK/other`.
    assert!(long("a").split('/').next().unwrap().len() + "/other".len() <= 50);
    assert!(qualified(Path::new("/"), "a").starts_with("pack@"));
}

#[test]
fn what_is_no_plain_file_has_no_stamp_and_is_refused_without_waiting_for_it() {
    let (root, pack) = folder();
    symlink(pack.join("a.j2"), pack.join("link.j2")).unwrap();
    symlink(root.path(), pack.join("out")).unwrap();
    std::fs::create_dir(pack.join("folder.j2")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, pack.join("pipe.j2"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let now = SystemTime::now();
    let look = |name: &str| jailed(&pack, name).ok().map(|(_, found)| stamp(&found, now));
    assert!(look("a.j2").is_some());
    for name in ["link.j2", "out/own/a.j2", "folder.j2", "pipe.j2", "gone.j2", "../own/a.j2"] {
        assert!(look(name).is_none() && read_jailed(&pack, name).is_err(), "{name}");
    }
}

#[test]
fn a_stamp_is_settled_once_its_file_was_left_alone_for_longer_than_any_clock_ticks() {
    let (_root, pack) = folder();
    let found = pack.join("a.j2").metadata().unwrap();
    let changed = time(found.ctime(), found.ctime_nsec());
    let settled = |at: SystemTime| stamp(&found, at).settled;
    assert!(!settled(changed) && !settled(changed + SETTLED_AFTER));
    assert!(settled(changed + SETTLED_AFTER + Duration::from_nanos(1)));
    assert!(!settled(changed - Duration::from_secs(60)), "a change in the future is not to be trusted");
    // Setting the time back does not make it look old.
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    let file = OpenOptions::new().write(true).open(pack.join("a.j2")).unwrap();
    file.set_times(std::fs::FileTimes::new().set_modified(old)).unwrap();
    let found = pack.join("a.j2").metadata().unwrap();
    let stamp = stamp(&found, SystemTime::now());
    assert_eq!((stamp.modified, stamp.settled), (old, false));
}
