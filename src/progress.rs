//! What a person sees while a run goes on: a bar on a terminal, and every failure as it happens. All on standard error.

use std::collections::BTreeMap;
use std::fmt::Write;

use actors::event::JobFailure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::app::{colour, say};
use crate::{diagnostics, intake};

/// Diagnostics shown of one contract.
const SHOWN_MAX: usize = 20;

/// Faults of templates that are remembered, to be shown once.
const REMEMBERED_MAX: usize = 1_000;

/// A bar for work of another kind: `visible` as for [`Progress::new`].
pub fn bar(visible: bool) -> ProgressBar {
    let target = if visible { ProgressDrawTarget::stderr_with_hz(15) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    match ProgressStyle::with_template("{bar:30} {pos:>7}/{len}  {elapsed:>4}  {wide_msg}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        // The template is a constant; were it wrong, the default bar would do.
        Err(_) => bar,
    }
}

pub struct Progress {
    bar: ProgressBar,
    colour: bool,
    /// Faults of templates, and how many contracts each concerned: every contract meets the same ones.
    of_templates: BTreeMap<String, usize>,
}

impl Progress {
    /// `visible` is false where only data is wanted; without a terminal nothing is drawn either.
    pub fn new(total: usize, visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr_with_hz(15) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        // The template is a constant; were it wrong, the default bar would do.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos:>5}/{len}  {rate:>8}  {elapsed:>4}  {wide_msg}")
        {
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                // The bar is drawn without its rate rather than not at all.
                let _ = write!(text, "{:.0}/s", state.per_sec());
            };
            bar.set_style(style.with_key("rate", rate).progress_chars("=> "));
        }
        Self { bar, colour: colour(), of_templates: BTreeMap::new() }
    }

    pub fn generated(&self, package: &str) {
        self.bar.set_message(package.to_owned());
        self.bar.inc(1);
    }

    pub fn failed(&mut self, source: &str, failure: &JobFailure) {
        self.bar.inc(1);
        if failure.cause == "template" {
            return self.template_failed(&failure.diagnostics);
        }
        let shows_line = |diagnostic: &codegen::Diagnostic| diagnostic.place.is_some() && diagnostic.file == source;
        let text = failure.diagnostics.iter().any(shows_line).then(|| intake::reread(source)).flatten();
        for diagnostic in failure.diagnostics.iter().take(SHOWN_MAX) {
            let own = text.as_deref().filter(|_| diagnostic.file == source);
            self.say(&diagnostics::render(diagnostic, own, self.colour));
        }
        if let Some(more) = failure.diagnostics.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            self.say(&diagnostics::printable(&format!("{source}: {more} more faults")));
        }
    }

    /// A fault of a template is shown when it is met first, with its line.
    fn template_failed(&mut self, faults: &[codegen::Diagnostic]) {
        for fault in faults.iter().take(SHOWN_MAX) {
            let told = fault.to_string();
            if let Some(contracts) = self.of_templates.get_mut(&told) {
                *contracts += 1;
                continue;
            }
            if self.of_templates.len() < REMEMBERED_MAX {
                self.of_templates.insert(told, 1);
            }
            let text = fault.place.and_then(|_| intake::reread(&fault.file));
            self.say(&diagnostics::render(fault, text.as_deref(), self.colour));
        }
    }

    /// A line above the bar.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| say(&format!("{line}\n")));
    }

    pub fn finish(&self) {
        for (fault, contracts) in self.of_templates.iter().filter(|(_, contracts)| **contracts > 1) {
            self.say(&diagnostics::printable(&format!("{contracts} contracts have failed over {fault}")));
        }
        self.bar.finish_and_clear();
    }
}
