//! What `--dry-run`, `--diff` and `--check` print: the packages that were looked at, beside the failures of the run.

mod sarif;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use serde::Serialize;

use crate::app::{self, say};
use crate::diagnostics;
use crate::packages::inspect::{Action, FileLine, Inspected, Question, Verdict};
use crate::packages::{State, manifest};
use crate::summary::{FailureLine, Status, Summary, count};

/// How the result of `generate` is printed on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Human,
    Json,
    /// SARIF 2.1.0, for `--check`.
    Sarif,
}

/// What `--format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub question: Question,
    pub status: Status,
    /// The output folder, as the user named it.
    pub out: String,
    /// Packages by what a run would do with them.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Files that are not as planned, by how.
    pub states: BTreeMap<State, u64>,
    /// Sorted by name.
    pub packages: Vec<Inspected>,
    /// Contracts that gave no package, and packages that a run would refuse.
    pub failures: Vec<FailureLine>,
    pub unfinished: Vec<String>,
    pub not_begun: u64,
}

impl Report {
    pub fn new(question: Question, out: String, summary: Summary, packages: Vec<Inspected>) -> Self {
        let (mut verdicts, mut states) = (BTreeMap::new(), BTreeMap::new());
        for package in &packages {
            *verdicts.entry(package.verdict).or_default() += 1;
            for file in &package.files {
                *states.entry(file.state).or_default() += 1;
            }
        }
        let status = match (question, summary.status) {
            (Question::Check, Status::Complete | Status::Failed) => verdict(&summary.failures, &states),
            (_, status) => status,
        };
        let Summary { failures, unfinished, not_begun, .. } = summary;
        Self { question, status, out, verdicts, states, packages, failures, unfinished, not_begun }
    }

    /// Data goes to standard output, words beside it to standard error.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn print(&self, format: Format) -> io::Result<()> {
        match (format, self.question) {
            (Format::Json, _) => app::print(pretty(self).as_bytes()),
            (Format::Sarif, _) => app::print(pretty(&sarif::log(self)).as_bytes()),
            (Format::Human, Question::Diff) => {
                let (patch, stdout) = (self.to_diff(), io::stdout());
                let printed = if stdout.is_terminal() {
                    app::print(diagnostics::patch(&patch, app::colour_of(&stdout)).as_bytes())
                } else {
                    app::print(&patch)
                };
                say(self.to_text().trim_end());
                printed
            }
            (Format::Human, _) => {
                app::print(self.to_text().as_bytes())?;
                let advice = self.advice();
                if !advice.is_empty() {
                    say(advice.trim_end());
                }
                Ok(())
            }
        }
    }

    /// For people, without colour. Of a diff, the words that go beside it.
    fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = match self.question {
            Question::DryRun => self.write_plan(&mut text),
            Question::Check => self.write_check(&mut text),
            Question::Diff => Ok(()),
        };
        let _ = self.write_totals(&mut text);
        text
    }

    /// The patch of all packages.
    fn to_diff(&self) -> Vec<u8> {
        self.packages.iter().filter_map(|package| package.diff.as_deref()).collect::<Vec<_>>().concat()
    }

    fn write_plan(&self, text: &mut String) -> std::fmt::Result {
        for Inspected { package, verdict, planned, files, .. } in &self.packages {
            match verdict {
                Verdict::New => writeln!(text, "new        {package}: {}", count(*planned as u64, "file"))?,
                Verdict::Unchanged => writeln!(text, "unchanged  {package}")?,
                Verdict::Changed => writeln!(text, "changed    {package}: {}", tally(files))?,
                Verdict::Refused => writeln!(text, "refused    {package}: edits are in conflict with the plan")?,
            }
            let told = |file: &&FileLine| match verdict {
                Verdict::Changed => file.action != Action::Leave,
                // Nothing else of it would be touched.
                Verdict::Refused => file.state == State::Conflict,
                Verdict::New | Verdict::Unchanged => false,
            };
            for FileLine { path, action, copy, .. } in files.iter().filter(told) {
                writeln!(text, "  {:<9}  {path}", action_word(*action))?;
                if let Some(copy) = copy {
                    writeln!(text, "             was edited; a copy would be kept in {copy}")?;
                }
            }
        }
        Ok(())
    }

    fn write_check(&self, text: &mut String) -> std::fmt::Result {
        for Inspected { package, verdict, planned, files, .. } in &self.packages {
            if *verdict == Verdict::New {
                writeln!(text, "missing  {package}: the whole package, {}", count(*planned as u64, "file"))?;
                continue;
            }
            for file in files {
                let note = if file.action == Action::Remove { " (not planned any more)" } else { "" };
                writeln!(text, "{:<8} {package}/{}{note}", state_word(file.state), file.path)?;
            }
        }
        Ok(())
    }

    fn write_totals(&self, text: &mut String) -> std::fmt::Result {
        let of = |verdict| self.verdicts.get(&verdict).copied().unwrap_or_default();
        write!(text, "{} in {}: ", count(self.packages.len() as u64, "package"), self.out)?;
        if self.question == Question::Check {
            write!(text, "{} as planned", of(Verdict::Unchanged))?;
            for (state, files) in &self.states {
                let noun = match state {
                    State::Conflict => "conflict".to_owned(),
                    state => format!("{} file", state_word(*state)),
                };
                write!(text, "; {}", count(*files, &noun))?;
            }
            writeln!(text)?;
        } else {
            let (new, changed) = (of(Verdict::New), of(Verdict::Changed));
            write!(text, "{new} new, {changed} changed, {} unchanged", of(Verdict::Unchanged))?;
            let refused = of(Verdict::Refused);
            if refused > 0 {
                write!(text, ", {refused} refused")?;
            }
            let acting = || self.packages.iter().filter(|package| package.verdict != Verdict::Refused);
            write!(text, "; {}", tally(acting().flat_map(|package| &package.files)))?;
            let kept = acting().flat_map(|package| &package.files).filter(|file| file.action == Action::Leave).count();
            if kept > 0 {
                write!(text, "; {} kept", count(kept as u64, "edited file"))?;
            }
            writeln!(text, "; nothing was written")?;
        }
        if !self.failures.is_empty() {
            writeln!(text, "failed   {}: see the messages above", count(self.failures.len() as u64, "contract"))?;
        }
        for name in &self.unfinished {
            writeln!(text, "unfinished  {name}")?;
        }
        if self.not_begun > 0 {
            writeln!(text, "not begun   {}", count(self.not_begun, "contract"))?;
        }
        Ok(())
    }

    /// What to do about what was found; empty where there is nothing to do.
    fn advice(&self) -> String {
        let mut text = String::new();
        let has = |state| self.states.contains_key(&state);
        if self.question == Question::Check && (has(State::Missing) || has(State::Stale)) {
            text += "help: run `omninode generate` with the same arguments to write what is missing or stale\n";
        }
        if self.question == Question::Check && has(State::Conflict) {
            text += "help: a file in conflict was edited or added by you, and something else is planned there now: move \
                     it away, run `omninode generate` and take your changes over; or run with --force, which \
                     overwrites all edited files and keeps a copy of each (to see what it would do, add --dry-run)\n";
        }
        text
    }
}

/// Reports are numbers and texts: they always have a JSON form.
fn pretty(data: &impl Serialize) -> String {
    serde_json::to_string_pretty(data).unwrap_or_default() + "\n"
}

/// How a check ends: faults of contracts come first, then what needs a person, then what a run mends.
fn verdict(failures: &[FailureLine], states: &BTreeMap<State, u64>) -> Status {
    // Something in the way is a person's too.
    let (in_the_way, faults): (Vec<_>, Vec<_>) = failures.iter().partition(|failure| failure.cause == "conflict");
    match () {
        () if !faults.is_empty() => Status::Failed,
        () if !in_the_way.is_empty() || states.contains_key(&State::Conflict) => Status::Conflict,
        () if states.contains_key(&State::Missing) || states.contains_key(&State::Stale) => Status::OutOfDate,
        () => Status::Complete,
    }
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Missing => "missing",
        State::Stale => "stale",
        State::Edited => "edited",
        State::Conflict => "conflict",
        State::Unknown => "unknown",
    }
}

fn action_word(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Replace => "replace",
        Action::Remove => "remove",
        Action::Overwrite => "overwrite",
        Action::Leave => "conflict",
    }
}

/// `3 files to write, 1 of them edited, 1 to remove`
fn tally<'f>(files: impl IntoIterator<Item = &'f FileLine>) -> String {
    let (mut written, mut removed, mut edited) = (0, 0, 0);
    for file in files.into_iter().filter(|file| file.path != manifest::FILE_NAME) {
        match file.action {
            Action::Create | Action::Replace => written += 1,
            Action::Overwrite => (written, edited) = (written + 1, edited + 1),
            Action::Remove => removed += 1,
            Action::Leave => {}
        }
    }
    let mut text = format!("{} to write", count(written, "file"));
    for (number, word) in [(edited, "of them edited"), (removed, "to remove")] {
        if number > 0 {
            let _ = write!(text, ", {number} {word}");
        }
    }
    text
}
