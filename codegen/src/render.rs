//! From a plan to files: every rule of the pack, for every item it names.

#[cfg(test)]
mod tests;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, context};

use crate::diagnostic::Diagnostic;
use crate::failure::Failure;
use crate::pack::{Pack, Rule, Snippet};
use crate::path::{self, Taken};
use crate::templates::{Templates, diagnostic, is_out_of_fuel};

/// How many faults of templates are told at most: a fault in a template of many items repeats itself.
const FAULTS_MAX: usize = 20;

/// One generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the package, its segments separated by `/`.
    pub path: String,
    pub content: String,
}

/// What one job may use. A pack is untrusted: without limits one `{% for %}` could hold a worker for ever.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Work for one file, in minijinja's fuel: an instruction or 64 bytes of data cost one. A file of 5 KB needs some
    /// 1,500.
    pub fuel_per_file: u64,
    /// All files of a package together, in bytes.
    pub output_bytes_max: usize,
    /// Files in a package.
    pub files_max: usize,
    /// Whether the job's time is up; asked before each file.
    pub expired: &'a (dyn Fn() -> bool + 'a),
}

impl<'a> Limits<'a> {
    /// 250,000 of fuel for a file (about 5 ms of work), 8 MiB and 1,000 files for a package.
    pub fn with_deadline(expired: &'a (dyn Fn() -> bool + 'a)) -> Self {
        Self { fuel_per_file: 250_000, output_bytes_max: 8 * 1024 * 1024, files_max: 1_000, expired }
    }
}

impl Limits<'static> {
    /// The same, without a deadline.
    pub fn without_deadline() -> Self {
        Limits::with_deadline(&|| false)
    }
}

/// Renders the package that `pack` makes of the plan, sorted by path.
///
/// The entries of `context`, a map, are what templates and the expressions of the pack can name; in a rule with `each`
/// they also have `item`. Fails with [`Failure::Template`] (every fault that was found), [`Failure::Limit`] or
/// [`Failure::Timeout`].
pub fn render(context: &Value, pack: &Pack, templates: &Templates, limits: &Limits<'_>) -> Result<Vec<File>, Failure> {
    let mut environment = templates.environment().clone();
    environment.set_fuel(Some(limits.fuel_per_file));
    let mut job =
        Job { pack, environment, limits, taken: Taken::default(), files: Vec::new(), bytes: 0, faults: Vec::new() };
    for rule in &pack.files {
        go_on(job.rule(rule, context))?;
    }
    if !job.faults.is_empty() {
        return Err(Failure::Template(job.faults));
    }
    job.files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(job.files)
}

struct Job<'j> {
    pack: &'j Pack,
    environment: Environment<'static>,
    limits: &'j Limits<'j>,
    taken: Taken,
    files: Vec<File>,
    bytes: usize,
    faults: Vec<Diagnostic>,
}

/// Why a file was not made.
enum Stop {
    /// Its fault is told; other files may have faults of their own.
    Told,
    /// The job is over.
    Over(Failure),
}

fn go_on(result: Result<(), Stop>) -> Result<(), Failure> {
    if let Err(Stop::Over(failure)) = result { Err(failure) } else { Ok(()) }
}

impl Job<'_> {
    fn rule(&mut self, rule: &Rule, context: &Value) -> Result<(), Stop> {
        let Some(each) = &rule.each else { return self.file(rule, context) };
        let items = self.evaluate(each, context)?;
        if !matches!(items.kind(), ValueKind::Seq | ValueKind::Iterable) {
            let fault = self.manifest_fault(each, format!("`each` gives {}, not a list", items.kind()));
            return Err(self.told(fault.help("name a list of the plan")));
        }
        for item in items.try_iter().map_err(|error| self.stop(&error, "", Some(each)))? {
            go_on(self.file(rule, &context! { item => item, ..context.clone() })).map_err(Stop::Over)?;
        }
        Ok(())
    }

    fn file(&mut self, rule: &Rule, context: &Value) -> Result<(), Stop> {
        if (self.limits.expired)() {
            return Err(Stop::Over(Failure::Timeout));
        }
        if let Some(when) = &rule.when
            && !self.evaluate(when, context)?.is_true()
        {
            return Ok(());
        }
        if self.files.len() >= self.limits.files_max {
            let message = format!("the package has more than {} files", self.limits.files_max);
            let fault = self.manifest_fault(&rule.path, message).help("make fewer files, or raise the limit");
            return Err(Stop::Over(Failure::Limit(fault)));
        }
        let path = self.path(&rule.path, context)?;
        let rendered = self.environment.get_template(&rule.template).and_then(|template| template.render(context));
        let content = rendered.map_err(|error| self.stop(&error, &rule.template, None))?;
        self.bytes += content.len();
        if self.bytes > self.limits.output_bytes_max {
            let message = format!("the package is larger than {} bytes", self.limits.output_bytes_max);
            let fault = Diagnostic::new(&rule.template, None, message).help("make less, or raise the limit");
            return Err(Stop::Over(Failure::Limit(fault)));
        }
        self.files.push(File { path, content });
        Ok(())
    }

    /// The path of one file: inside the package, and no other file's.
    fn path(&mut self, snippet: &Snippet, context: &Value) -> Result<String, Stop> {
        let path = if snippet.is_template() {
            let rendered = self.environment.render_str(&snippet.text, context);
            rendered.map_err(|error| self.stop(&error, "", Some(snippet)))?
        } else {
            snippet.text.clone()
        };
        let shown: String = path.chars().take(100).flat_map(char::escape_debug).collect();
        let refused = match path::refusal(&path) {
            Some(why) => format!("`{shown}` cannot be a path: {why}"),
            None => match self.taken.claim(&path) {
                Ok(()) => return Ok(path),
                Err(other) => format!("`{shown}` and `{other}` cannot both be in one package"),
            },
        };
        let fault = self.manifest_fault(snippet, refused);
        Err(self.told(fault.help("change `path`, or the name in the contract that it is made of")))
    }

    fn evaluate(&mut self, snippet: &Snippet, context: &Value) -> Result<Value, Stop> {
        let value = self.environment.compile_expression(&snippet.text).and_then(|expression| expression.eval(context));
        match value {
            Ok(value) if value.is_undefined() => {
                let fault = self.manifest_fault(snippet, format!("`{}` is undefined", snippet.text));
                Err(self.told(fault.help("check the spelling, or write `… is defined and …`")))
            }
            value => value.map_err(|error| self.stop(&error, "", Some(snippet))),
        }
    }

    /// What an error of a template means for the job: `snippet` where it is one of the manifest's.
    fn stop(&mut self, error: &Error, template: &str, snippet: Option<&Snippet>) -> Stop {
        let mut fault = diagnostic(error, template, None);
        if let Some(snippet) = snippet {
            // The error's own place is one inside the snippet, which no author knows as a file.
            fault = Diagnostic { file: self.pack.file.clone(), place: Some(snippet.place), ..fault };
        }
        if !is_out_of_fuel(error) {
            return self.told(fault);
        }
        fault.message = "the template does too much work".to_owned();
        let expected = format!("at most {} steps for one file", self.limits.fuel_per_file);
        let help = "look for a loop over too many items, or for text that grows without end";
        Stop::Over(Failure::Limit(fault.expected(expected).help(help)))
    }

    fn manifest_fault(&self, snippet: &Snippet, message: String) -> Diagnostic {
        Diagnostic::new(&self.pack.file, Some(snippet.place), message)
    }

    fn told(&mut self, fault: Diagnostic) -> Stop {
        if self.faults.len() < FAULTS_MAX && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
        Stop::Told
    }
}
