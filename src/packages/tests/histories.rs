//! Every history of runs, kills and edits of one file, as long as it leads to a state that was not seen yet, against a
//! model that knows what really happened.
//!
//! The package has a file `p.py`, whose plan is A, B or none, and `z.py`, which comes after it and has two versions, so that
//! there is something to update while `p.py` is kept. Runs are killed at each point of an update; a person edits, deletes
//! and writes what a plan has. What is seen is finite, so the walk ends by itself.

use std::collections::{BTreeSet, VecDeque};

use super::*;

const MINE: &str = "mine";
const P: &str = "p.py";
const Z: &str = "z.py";

/// What is on the disk, and what the model knows of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    p: Option<String>,
    z: Option<String>,
    manifest: String,
    /// Whether what is in `p.py` was put there by a person.
    persons: bool,
    /// What we really wrote to `p.py` last; none where we removed it or let it go.
    last: Option<&'static str>,
    /// Since the last run that ended, one was killed that planned something else for `p.py` than we had written: the
    /// disk does not tell whether it came to that.
    doubt: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Person(Option<&'static str>),
    Run {
        p: Option<&'static str>,
        z: &'static str,
        force: bool,
        /// After the journal, and before this one of the changes; the last number comes before the manifest.
        kill: Option<usize>,
    },
}

/// What became of a run; each has to be seen, or the walk has not been where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Written,
    Kept,
    Overwritten,
    LetGo,
    Conflict,
    /// A conflict where only a kill has made unclear what we wrote last.
    Doubtful,
    Killed,
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = [None, Some(MINE), Some("A"), Some("B")].map(Step::Person).into();
    for p in [None, Some("A"), Some("B")] {
        for z in ["1", "2"] {
            for force in [false, true] {
                for kill in [None, Some(0), Some(1), Some(2)] {
                    steps.push(Step::Run { p, z, force, kill });
                }
            }
        }
    }
    steps
}

/// An output folder in which worlds are set up one after the other.
struct Stage {
    out: PathBuf,
    folders: [OutputFolder; 2],
}

impl Stage {
    fn target(&self) -> PathBuf {
        self.out.join("node_x")
    }

    fn put(&self, path: &str, content: Option<&str>) {
        let path = self.target().join(path);
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => drop(fs::remove_file(path)),
        }
    }

    fn set(&self, world: &World) {
        fs::create_dir_all(self.target()).unwrap();
        self.put(P, world.p.as_deref());
        self.put(Z, world.z.as_deref());
        self.put(FILE_NAME, Some(&world.manifest));
        let _ = fs::remove_dir_all(self.out.join(".omninode/kept"));
    }

    fn get(&self, before: &World) -> World {
        let read = |path: &str| fs::read_to_string(self.target().join(path)).ok();
        World { p: read(P), z: read(Z), manifest: read(FILE_NAME).unwrap(), ..before.clone() }
    }

    fn has_copy(&self, content: &str) -> bool {
        let copy = format!(".omninode/kept/node_x/{}/{P}", &hash(content.as_bytes())[..16]);
        fs::read_to_string(self.out.join(copy)).is_ok_and(|found| found == content)
    }

    /// A run, or as much of it as comes before the kill. False where it never comes to that.
    fn run(&self, planned: &Package, force: bool, kill: Option<usize>) -> Result<bool, JobFailure> {
        let folder = &self.folders[usize::from(force)].inner;
        let target = self.target();
        let mut comparison = compare(planned, &target, force)?;
        let Some(at) = kill else { return folder.write(planned).map(|_| true) };
        if let Some(refusal) = comparison.refusal(&target).filter(|_| !force) {
            return Err(refusal);
        }
        if comparison.is_up_to_date() || at > comparison.changes.len() {
            return Ok(false);
        }
        // A change that was not compared so stops the update, as it would stop for an edit that was saved meanwhile.
        let leaves = comparison.changes.get(at).is_some_and(Change::leaves);
        let planned_here = planned.files.first().filter(|_| !leaves);
        let before = Some(b"never there".to_vec());
        let stop = Change { path: "stop".to_owned(), state: State::Stale, before, planned: planned_here };
        comparison.changes.insert(at, stop);
        let manifest = comparison.manifest.clone().unwrap();
        folder.update(planned, &comparison, manifest, &target).unwrap_err();
        Ok(true)
    }
}

/// A run to `p` and `z` in the world `before`, as the model sees it.
struct Case<'w> {
    before: &'w World,
    p: Option<&'static str>,
    z: &'static str,
    force: bool,
    /// A person has something else there than is planned.
    edited: bool,
    /// What is there is what a plan has had, and nothing of a person's own: after a kill it may be taken for ours, or for
    /// an edit.
    generated: bool,
    /// The plan is not what we wrote last.
    changed: bool,
}

impl<'w> Case<'w> {
    fn new(before: &'w World, p: Option<&'static str>, z: &'static str, force: bool) -> Self {
        let edited = before.persons && before.p.is_some() && before.p.as_deref() != p;
        let generated = before.doubt && before.p.as_deref().is_some_and(|it| it != MINE);
        Self { before, p, z, force, edited, generated, changed: before.last != p }
    }

    fn refused(&self, after: &World, told: &str) -> Result<End, String> {
        match () {
            () if after != self.before => Err(format!("a refused run has written: {after:?}")),
            () if self.force || self.p.is_none() || !told.contains(P) => Err(format!("refused: {told}")),
            () if !self.edited && !self.generated => Err(format!("refused, and nothing was edited: {told}")),
            () if self.changed => Ok(End::Conflict),
            () if self.before.doubt => Ok(End::Doubtful),
            () => Err("refused, although the plan is what we wrote last".to_owned()),
        }
    }

    /// Whether what was there may be there after the run.
    fn may_stay(&self) -> bool {
        (self.edited || self.generated) && (!self.force || self.p.is_none())
    }

    /// What holds after every run that was not refused, killed or not.
    fn check_edit(&self, stage: &Stage, after: &World) -> Result<(), String> {
        let overwritten = after.p != self.before.p;
        match () {
            () if !self.edited || self.generated => Ok(()),
            () if !self.force && self.p.is_some() && self.changed => {
                Err("not refused, although the plan is not what we wrote last".to_owned())
            }
            () if overwritten && self.may_stay() => Err(format!("the edit is lost: {after:?}")),
            () if overwritten && !stage.has_copy(self.before.p.as_deref().unwrap()) => {
                Err("overwritten, and no copy is kept".to_owned())
            }
            () => Ok(()),
        }
    }

    fn killed(&self, after: &mut World) -> Result<End, String> {
        let is_planned = after.p.as_deref() == self.p;
        if after.p != self.before.p && !is_planned {
            return Err(format!("torn: {after:?}"));
        }
        after.doubt |= self.changed;
        if is_planned {
            // Written now, or by a person just as planned: ours.
            (after.last, after.persons) = (self.p, false);
        }
        Ok(End::Killed)
    }

    fn ended(&self, after: &mut World, manifest: &Manifest) -> Result<End, String> {
        let is_planned = after.p.as_deref() == self.p;
        let stayed = self.may_stay() && after.p == self.before.p;
        if !(is_planned || stayed) || after.z.as_deref() != Some(self.z) {
            return Err(format!("not as planned: {after:?}"));
        }
        if *manifest != Manifest::new(hashes(&plan(self.p, self.z))) {
            return Err(format!("the manifest does not say what we wrote: {manifest:?}"));
        }
        (after.last, after.doubt) = (self.p, false);
        after.persons = after.p.is_some() && !is_planned;
        Ok(match () {
            () if self.edited && after.p != self.before.p => End::Overwritten,
            () if after.persons && self.p.is_none() => End::LetGo,
            () if after.persons => End::Kept,
            () => End::Written,
        })
    }
}

fn plan(p: Option<&str>, z: &str) -> Package {
    let files: Vec<_> = p.map(|content| (P, content)).into_iter().chain([(Z, z)]).collect();
    package(&files)
}

/// The world after a step, checked; none where the kill is not reached.
fn take(stage: &Stage, before: &World, step: Step) -> Result<Option<(World, Option<End>)>, String> {
    let (p, z, force, kill) = match step {
        Step::Run { p, z, force, kill } => (p, z, force, kill),
        Step::Person(content) => {
            // What we wrote last, written again, is as if it had never been edited.
            let persons = content.is_some() && content != before.last;
            return Ok(Some((World { p: content.map(str::to_owned), persons, ..before.clone() }, None)));
        }
    };
    stage.set(before);
    let case = Case::new(before, p, z, force);
    let result = stage.run(&plan(p, z), force, kill);
    let mut after = stage.get(before);
    let end = match result {
        Ok(false) => return Ok(None),
        Err(refusal) => case.refused(&after, &refusal.message())?,
        Ok(true) => {
            case.check_edit(stage, &after)?;
            let manifest = Manifest::read(&stage.target())?.ok_or("no manifest")?;
            if kill.is_some() { case.killed(&mut after)? } else { case.ended(&mut after, &manifest)? }
        }
    };
    Ok(Some((after, Some(end))))
}

#[test]
fn in_every_history_of_runs_kills_and_edits_nothing_is_lost_and_only_a_changed_plan_is_a_conflict() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    // In memory where that is possible: a copy that `--force` keeps is synced, thousands of times here.
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let open = |force| {
        let folder = OutputFolder::open(&scratch.path().join("out"), force).unwrap();
        // Both work in one folder, never at once.
        rustix::fs::flock(&folder.inner.handle, FlockOperation::Unlock).unwrap();
        folder
    };
    let stage = Stage { out: scratch.path().join("out"), folders: [open(false), open(true)] };
    let manifest = String::from_utf8(Manifest::new(hashes(&package(&[(P, "A"), (Z, "1")]))).to_bytes()).unwrap();
    let (p, z) = (Some("A".to_owned()), Some("1".to_owned()));
    let start = World { p, z, manifest, persons: false, last: Some("A"), doubt: false };
    let (mut worlds, mut ways) = (vec![start.clone()], vec![None]);
    let (mut seen, mut waiting) = (BTreeSet::from([start]), VecDeque::from([0]));
    let (mut taken, mut ends) = (0, BTreeMap::<End, usize>::new());
    while let Some(number) = waiting.pop_front() {
        for step in steps() {
            let found = take(&stage, &worlds[number], step).unwrap_or_else(|fault| {
                let way = std::iter::successors(ways[number], |(from, _)| ways[*from]).map(|(_, step)| step);
                let way: Vec<_> = way.collect::<Vec<_>>().into_iter().rev().chain([step]).collect();
                panic!("{fault}\nbefore: {:?}\nhistory: {way:#?}", worlds[number])
            });
            let Some((world, end)) = found else { continue };
            taken += 1;
            if let Some(end) = end {
                *ends.entry(end).or_default() += 1;
            }
            if seen.insert(world.clone()) {
                waiting.push_back(worlds.len());
                ways.push(Some((number, step)));
                worlds.push(world);
            }
        }
    }
    println!("{} states, {taken} steps, runs by end: {ends:?}", worlds.len());
    assert_eq!(ends.len(), 7, "{ends:?}");
}
