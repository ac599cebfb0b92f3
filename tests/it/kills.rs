//! `kill -9` at random moments of runs: no torn file, no lost edit, no half package; and the run after it leaves exactly
//! the right tree.
//!
//! What may be on the disk is worked out here, from the versions that were begun and from what a person did, not by
//! another run. `./test kills 1000` does it a thousand times, with the release binary; the suite does a few.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Bench, Ended, corpus, tree};

/// Kills where the environment does not say how many.
const KILLS: usize = 24;
const PACKAGES: usize = 20;

/// The files of a package in each version. Folders and files change places, files come and go.
const PLANS: [&[&str]; 3] = [
    &["a.txt", "b.txt", "big.txt", "deep/c.txt", "left/gone.txt", "most.txt", "paws/in.txt", "same.txt", "swap"],
    &[
        "a.txt",
        "b.txt",
        "big.txt",
        "deep/c.txt",
        "most.txt",
        "new/d.txt",
        "new/e.txt",
        "paws",
        "same.txt",
        "swap/in.txt",
    ],
    &[
        "a.txt",
        "b.txt",
        "big.txt",
        "deep/c.txt",
        "extra/f.txt",
        "most.txt",
        "new/d.txt",
        "paws",
        "same.txt",
        "swap/in.txt",
    ],
];

/// Where a person may have put something: over a file of ours, where a later plan wants one, and where nobody does.
const PERSONS: [&str; 8] =
    ["a.txt", "big.txt", "left/gone.txt", "left/mine.txt", "most.txt", "new/d.txt", "own/notes.txt", "same.txt"];

/// A file is one line many times: a torn one is seen without knowing its version.
fn lines(path: &str) -> usize {
    if path == "big.txt" { 3_000 } else { 30 }
}

/// The version whose content a file has: one file never changes, one not from version 1 to 2, the others always.
fn edition(path: &str, version: usize) -> usize {
    match path {
        "same.txt" => 1,
        "most.txt" if version == 2 => 1,
        _ => version,
    }
}

fn content(package: &str, path: &str, version: usize) -> Vec<u8> {
    format!("{package} {path} {}\n", edition(path, version)).repeat(lines(path)).into_bytes()
}

fn plans(path: &str, version: usize) -> bool {
    PLANS[version - 1].contains(&path)
}

/// What is known of one package.
#[derive(Clone)]
struct Package {
    name: String,
    /// It was there, in version 1, before the first run that is killed.
    old: bool,
    /// What a person wrote: path to content.
    written: BTreeMap<&'static str, Vec<u8>>,
    /// Of these, the ones that we had written before, with the edition: an edit is kept while the plan is still that.
    last: BTreeMap<&'static str, usize>,
    /// What a person deleted.
    deleted: Option<&'static str>,
    /// Versions that runs began to write.
    begun: BTreeSet<usize>,
}

type Tree = BTreeMap<String, Vec<u8>>;

impl Package {
    /// A run to `version` without `--force` leaves it alone.
    fn is_refused(&self, version: usize, force: bool) -> bool {
        let in_the_way = |path: &&str| plans(path, version) && self.last.get(path) != Some(&edition(path, version));
        !force && self.written.keys().any(in_the_way)
    }

    /// How many edited files a run to `version` leaves as they are.
    fn kept_edits(&self, version: usize, force: bool) -> usize {
        let is_willing = !force && !self.is_refused(version, force);
        self.written.keys().filter(|path| is_willing && plans(path, version)).count()
    }

    /// A run to `version` has come as far as its journal: edited files that it does not plan are a person's alone from now.
    fn let_go(&mut self, version: usize) {
        self.last.retain(|path, _| plans(path, version));
    }

    /// The files of it, without the manifest.
    fn found<'t>(&self, tree: &'t Tree) -> BTreeMap<&'t str, &'t [u8]> {
        let prefix = format!("{}/", self.name);
        let inside = tree.iter().filter_map(|(path, content)| Some((path.strip_prefix(&prefix)?, content.as_slice())));
        inside.filter(|(path, _)| *path != ".omninode.json").collect()
    }

    /// After a kill: every file is whole, of a version that was begun or the one before, and a person's is a person's.
    fn check_after_kill(&self, tree: &Tree, kept: &Tree, force: bool) -> Result<(), String> {
        let found = self.found(tree);
        let manifest = tree.get(&format!("{}/.omninode.json", self.name));
        if !self.old && manifest.is_none() {
            return if found.is_empty() { Ok(()) } else { Err(format!("half a package: {:?}", found.keys())) };
        }
        if let (false, 1, Some(version)) = (self.old, self.begun.len(), self.begun.first()) {
            return self.check_after_run(*version, tree, force);
        }
        let manifest = manifest.ok_or("its manifest is gone")?;
        serde_json::from_slice::<serde_json::Value>(manifest).map_err(|error| format!("torn manifest: {error}"))?;
        let versions = || self.old.then_some(1).into_iter().chain(self.begun.iter().copied());
        for path in found.keys() {
            if !versions().any(|version| plans(path, version)) && !self.written.contains_key(path) {
                return Err(format!("{path} is nobody's"));
            }
        }
        let planned = versions().flat_map(|version| PLANS[version - 1].iter().copied());
        for path in planned.chain(self.written.keys().copied()) {
            let now = found.get(path).copied();
            let ours = versions().any(|it| plans(path, it) && now == Some(&content(&self.name, path, it)[..]));
            if let Some(written) = self.written.get(path) {
                let overwritten = force && self.begun.iter().any(|version| plans(path, *version));
                let copied = || kept.iter().any(|(at, it)| it == written && is_copy(at, &self.name, path));
                if now != Some(written) && !(overwritten && (ours || now.is_none()) && copied()) {
                    return Err(format!("the edit of {path} is lost; now {:?}", now.map(<[u8]>::len)));
                }
                continue;
            }
            // Not there yet, or not there any more.
            let may_miss = self.deleted == Some(path) || versions().any(|version| !plans(path, version));
            match now {
                None if !may_miss => return Err(format!("{path} is gone")),
                Some(now) if !ours => return Err(format!("{path} is torn or foreign: {} bytes", now.len())),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it is as a run to `version` leaves it.
    fn check_after_run(&self, version: usize, tree: &Tree, force: bool) -> Result<(), String> {
        let mut expected: BTreeMap<&str, Vec<u8>> =
            PLANS[version - 1].iter().map(|path| (*path, content(&self.name, path, version))).collect();
        let found = self.found(tree);
        for (path, written) in &self.written {
            // Where a version that was begun with --force wanted the place, the copy is what is left, unless it was not
            // reached.
            let begun = self.begun.iter().any(|version| plans(path, *version));
            if !force || (!plans(path, version) && (!begun || found.contains_key(path))) {
                expected.insert(path, written.clone());
            }
        }
        let expected: BTreeMap<&str, &[u8]> = expected.iter().map(|(path, content)| (*path, &content[..])).collect();
        if found != expected {
            let differ = |path: &&&str| found.get(**path) != expected.get(**path);
            let paths: BTreeSet<_> = found.keys().chain(expected.keys()).filter(differ).collect();
            return Err(format!("not as a run to version {version} leaves it: {paths:?}"));
        }
        let manifest: serde_json::Value = serde_json::from_slice(&tree[&format!("{}/.omninode.json", self.name)])
            .map_err(|error| error.to_string())?;
        let hash = |path: &str| blake3::hash(&content(&self.name, path, version)).to_hex().to_string();
        let ours: BTreeMap<&str, String> = PLANS[version - 1].iter().map(|path| (*path, hash(path))).collect();
        if manifest["files"] != serde_json::json!(ours) || !manifest["pending"].is_null() {
            return Err(format!("wrong manifest: {manifest}"));
        }
        Ok(())
    }
}

/// An output folder and what is known of it.
struct Scene {
    bench: Bench,
    packages: Vec<Package>,
    force: bool,
    versions: BTreeMap<usize, std::path::PathBuf>,
}

/// Where kills fell.
#[derive(Default, Debug)]
struct Tally {
    /// Nothing had changed yet.
    before: usize,
    /// Something had changed, and something was left to do.
    inside: usize,
    /// All packages were written, and the run had not ended.
    complete: usize,
    /// It had ended.
    after: usize,
}

impl Tally {
    fn kills(&self) -> usize {
        self.before + self.inside + self.complete + self.after
    }
}

impl Scene {
    fn new() -> Self {
        let bench = Bench::new();
        corpus(&bench, PACKAGES);
        let mut versions = BTreeMap::new();
        for (version, paths) in (1..).zip(PLANS) {
            let mut manifest = "name: own\nversion: '1'\ndescription: mine\nfiles:\n".to_owned();
            for (number, path) in paths.iter().enumerate() {
                manifest += &format!("  - {{path: {path}, template: t{number}.j2}}\n");
                let edition = edition(path, version);
                let text = format!("{{{{ node.package }}}} {path} {edition}\n").repeat(lines(path));
                bench.write(&format!("pack{version}/t{number}.j2"), text);
            }
            bench.write(&format!("pack{version}/pack.yaml"), manifest);
            versions.insert(version, bench.path(&format!("pack{version}")));
        }
        Self { bench, packages: Vec::new(), force: false, versions }
    }

    fn command(&self, version: usize) -> std::process::Command {
        let contracts = self.bench.path("contracts");
        let mut command =
            self.bench.command([contracts.as_os_str(), "--pack".as_ref(), self.versions[&version].as_os_str()]);
        if self.force {
            command.arg("--force");
        }
        command
    }

    /// Nothing but the database of earlier runs.
    fn clear(&mut self) {
        let _ = fs::remove_dir_all(self.bench.out());
        let name = |number| format!("node_sum_{number:03}_compute");
        let package = |number| Package {
            name: name(number),
            old: false,
            written: BTreeMap::new(),
            last: BTreeMap::new(),
            deleted: None,
            begun: BTreeSet::new(),
        };
        self.packages = (0..PACKAGES).map(package).collect();
    }

    /// Version 1 of most packages, and what a person did to it. `snapshot` is the tree that a run to it left.
    fn edited(&mut self, snapshot: &Tree, random: &mut fastrand::Rng) {
        self.clear();
        for package in &mut self.packages {
            package.old = random.u8(..10) > 0;
            if !package.old {
                continue;
            }
            let prefix = format!("{}/", package.name);
            for (path, content) in snapshot.iter().filter(|(path, _)| path.starts_with(&prefix)) {
                self.bench.write(&format!("out/{path}"), content);
            }
            if random.u8(..10) < 4 {
                continue;
            }
            for path in PERSONS {
                if random.u8(..10) > 1 {
                    continue;
                }
                let written: Vec<u8> = (0..random.usize(0..2_000)).map(|_| random.u8(..)).collect();
                self.bench.write(&format!("out/{}/{path}", package.name), &written);
                package.written.insert(path, written);
                if plans(path, 1) {
                    package.last.insert(path, edition(path, 1));
                }
            }
            if random.bool() {
                fs::remove_file(self.bench.out().join(&package.name).join("b.txt")).unwrap();
                package.deleted = Some("b.txt");
            }
        }
    }

    /// Begins a run to `version`, kills it at some moment, and checks what it left.
    fn kill(
        &mut self,
        version: usize,
        span: &mut Span,
        random: &mut fastrand::Rng,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let before = tree(&self.bench.out());
        for package in &mut self.packages {
            if !package.is_refused(version, self.force) {
                package.begun.insert(version);
            }
        }
        let mut child = self.command(version).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(span.moment(random));
        let ended = child.try_wait().unwrap().is_some();
        span.learn(ended);
        child.kill().unwrap();
        child.wait().unwrap();
        let (now, kept) = (tree(&self.bench.out()), self.kept());
        for package in &mut self.packages {
            package
                .check_after_kill(&now, &kept, self.force)
                .map_err(|fault| format!("after the kill: {}: {fault}", package.name))?;
            let manifest = format!("{}/.omninode.json", package.name);
            if now.get(&manifest) != before.get(&manifest) {
                package.let_go(version);
            }
        }
        let is_complete = |package: &Package| {
            package.is_refused(version, self.force) || package.check_after_run(version, &now, self.force).is_ok()
        };
        match () {
            () if ended => tally.after += 1,
            () if self.packages.iter().all(is_complete) => tally.complete += 1,
            () if now == before => tally.before += 1,
            () => tally.inside += 1,
        }
        Ok(())
    }

    /// A run to its end, and everything that must hold then. Gives how long it took.
    fn complete(&mut self, version: usize) -> Result<Span, String> {
        let started = Instant::now();
        let ended = Ended::of(&self.command(version).args(["--format", "json"]).output().unwrap());
        let span = Span(started.elapsed());
        let refused: Vec<_> = self.packages.iter().map(|package| package.is_refused(version, self.force)).collect();
        let code = i32::from(refused.contains(&true));
        if ended.code != Some(code) {
            return Err(format!("the run after the kill exits with {:?}, not {code}: {}", ended.code, ended.stderr));
        }
        let summary: serde_json::Value = serde_json::from_str(&ended.stdout).map_err(|error| error.to_string())?;
        let edits: usize = self.packages.iter().map(|package| package.kept_edits(version, self.force)).sum();
        if summary["files_kept"] != edits {
            return Err(format!("the run after the kill keeps {} edits, not {edits}", summary["files_kept"]));
        }
        let (now, kept) = (tree(&self.bench.out()), self.kept());
        for (package, refused) in self.packages.iter_mut().zip(refused) {
            if !refused {
                package.begun.insert(version);
                package.let_go(version);
            }
            let mut checked = package.check_after_kill(&now, &kept, self.force);
            if !refused {
                checked = checked.and_then(|()| package.check_after_run(version, &now, self.force));
                let empty = empty_folder(&self.bench.out().join(&package.name));
                checked = checked.and_then(|()| empty.map_or(Ok(()), |folder| Err(format!("{folder} is left, empty"))));
            }
            checked.map_err(|fault| format!("after the run: {}: {fault}", package.name))?;
        }
        let names: BTreeSet<String> = now.keys().map(|path| path.split('/').next().unwrap().to_owned()).collect();
        if names.len() != PACKAGES {
            return Err(format!("{} packages", names.len()));
        }
        self.check_leftovers(&kept).map(|()| span)
    }

    /// Nothing of ours is left but copies of what a person wrote.
    fn check_leftovers(&self, kept: &Tree) -> Result<(), String> {
        for entry in fs::read_dir(self.bench.out().join(".omninode")).into_iter().flatten().flatten() {
            if entry.file_name() != "kept" {
                return Err(format!("{} is left", entry.path().display()));
            }
        }
        for (path, content) in kept {
            if !self.packages.iter().any(|package| package.written.values().any(|written| written == content)) {
                return Err(format!("the copy {path} is of nothing that a person wrote"));
            }
        }
        Ok(())
    }

    fn kept(&self) -> Tree {
        tree(&self.bench.out().join(".omninode/kept"))
    }
}

/// Whether `at` is `<package>/<hash>/<path>`.
fn is_copy(at: &str, package: &str, path: &str) -> bool {
    let rest = at.strip_prefix(package).and_then(|rest| rest.strip_prefix('/'));
    rest.and_then(|rest| rest.split_once('/')).is_some_and(|(_, kept)| kept == path)
}

/// Up to when runs are killed. Others use the machine too, so it follows what it sees: about one kill in ten is to come
/// after the end, and the others fall evenly on the whole run.
struct Span(Duration);

impl Span {
    fn moment(&self, random: &mut fastrand::Rng) -> Duration {
        self.0.mul_f64(random.f64())
    }

    fn learn(&mut self, came_late: bool) {
        self.0 = self.0.mul_f64(if came_late { 0.95 } else { 1.006 });
    }
}

fn empty_folder(folder: &Path) -> Option<String> {
    let entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    if entries.is_empty() {
        return Some(folder.display().to_string());
    }
    entries.iter().filter(|path| path.is_dir()).find_map(|path| empty_folder(path))
}

fn kills() -> usize {
    std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().expect("KILLS is a number"))
}

/// A seed that is printed, so that what was done between the kills can be done again: `SEED=... KILLS=...`.
fn random() -> (u64, fastrand::Rng) {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("SEED is a number"));
    (seed, fastrand::Rng::with_seed(seed))
}

fn tell(what: &str, seed: u64, span: &Span, tally: &Tally, reruns: usize) {
    println!(
        "{} kills of {what} (seed {seed}, within {:.0} ms): {} before anything was visible, {} inside, {} when all \
         packages were written, {} after the end; {reruns} runs after them left exactly the right tree",
        tally.kills(),
        span.0.as_secs_f64() * 1_000.0,
        tally.before,
        tally.inside,
        tally.complete,
        tally.after
    );
}

#[test]
fn after_kills_of_first_runs_every_package_is_whole_or_absent_and_the_next_run_completes_the_tree() {
    let (seed, mut random) = random();
    let (mut scene, mut tally, mut reruns) = (Scene::new(), Tally::default(), 0);
    scene.clear();
    let mut span = scene.complete(1).unwrap();
    while tally.kills() < kills() / 2 {
        scene.clear();
        // Now and then the run after a kill is killed too.
        for _ in 0..random.usize(1..=2) {
            scene
                .kill(1, &mut span, &mut random, &mut tally)
                .unwrap_or_else(|fault| panic!("seed {seed}, {tally:?}: {fault}"));
        }
        scene.complete(1).unwrap_or_else(|fault| panic!("seed {seed}, {tally:?}: {fault}"));
        reruns += 1;
    }
    tell("first runs", seed, &span, &tally, reruns);
}

#[test]
fn after_kills_of_updates_over_edited_trees_no_edit_is_lost_and_the_next_run_completes_the_tree() {
    let (seed, mut random) = random();
    let (mut scene, mut tally, mut reruns) = (Scene::new(), Tally::default(), 0);
    scene.clear();
    let mut span = scene.complete(1).unwrap();
    let snapshot = tree(&scene.bench.out());
    while tally.kills() < kills().div_ceil(2) {
        scene.force = random.bool();
        scene.edited(&snapshot, &mut random);
        for _ in 0..random.usize(1..=3) {
            let version = random.usize(1..=3);
            scene
                .kill(version, &mut span, &mut random, &mut tally)
                .unwrap_or_else(|fault| panic!("seed {seed}, {tally:?}: {fault}"));
        }
        let version = random.usize(1..=3);
        scene.complete(version).unwrap_or_else(|fault| panic!("seed {seed}, {tally:?}: {fault}"));
        reruns += 1;
    }
    tell("updates", seed, &span, &tally, reruns);
}
