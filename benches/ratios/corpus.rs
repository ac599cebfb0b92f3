//! The contracts that are measured: those of the repository, others where they are at hand, multiplied under new names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use omninode::intake;

use crate::bare::Factory;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const TRIAL_NAME: &str = "a_name_to_try";

/// A contract that gives a package.
pub(crate) struct Original {
    pub(crate) package: String,
    pub(crate) text: String,
}

pub(crate) struct Corpus {
    pub(crate) originals: Vec<Original>,
    /// Where they come from, in words.
    pub(crate) sources: String,
}

impl Corpus {
    /// `more` is a folder of further contracts; that it is not there is no fault.
    pub(crate) fn load(more: &Path) -> Result<Self> {
        let folders = [PathBuf::from("examples"), PathBuf::from("tests/contracts"), more.to_owned()];
        let factory = Factory::load()?;
        let (mut originals, mut sources) = (Vec::new(), Vec::new());
        for folder in folders {
            let path = Path::new(ROOT).join(&folder);
            if !path.is_dir() {
                sources.push(format!("{} is not there", folder.display()));
                continue;
            }
            let before = originals.len();
            let found = intake::discover(&[path], Path::new(""));
            let all = found.len();
            originals.extend(found.into_iter().filter_map(|found| original(&factory, &found)));
            sources.push(format!("{} of {all} in {}", originals.len() - before, folder.display()));
        }
        ensure!(!originals.is_empty(), "no contract that gives a package in {ROOT}");
        Ok(Self { originals, sources: sources.join(", ") })
    }

    /// Where `write` puts a contract.
    pub(crate) fn place(folder: &Path, number: usize) -> PathBuf {
        folder.join(format!("{number:05}")).join("contract.yaml")
    }

    /// Writes `count` contracts into `folder`, each in a folder of its own and under a name of its own.
    pub(crate) fn write(&self, count: usize, folder: &Path) -> Result<()> {
        for number in 0..count {
            let original = &self.originals[number % self.originals.len()];
            let (place, name) = (Self::place(folder, number), format!("{}_{number:05}", original.package));
            fs::create_dir_all(place.parent().unwrap_or(folder))?;
            fs::write(&place, original.under(&name)).with_context(|| place.display().to_string())?;
        }
        Ok(())
    }
}

/// None where the contract gives no package, or under another name does not give the same one.
fn original(factory: &Factory, found: &intake::Found) -> Option<Original> {
    let (name, bytes) = (found.name(), found.read().ok()?.into_owned());
    let plan = factory.plan(&name, &bytes).ok()?;
    let files = factory.render(&plan).ok()?.len();
    let original = Original { package: plan.package, text: String::from_utf8(bytes).ok()? };
    let renamed = factory.plan(&name, original.under(TRIAL_NAME).as_bytes()).ok()?;
    let same = renamed.package == TRIAL_NAME && factory.render(&renamed).ok()?.len() == files;
    same.then_some(original)
}

impl Original {
    /// The contract of another node with the same content: the name is changed, and with it the modules that the contract
    /// places inside the node.
    pub(crate) fn under(&self, name: &str) -> String {
        let modules = self.text.replace(&format!(".{}.", self.package), &format!(".{name}."));
        let mut text = String::with_capacity(modules.len() + 32);
        for line in modules.split_inclusive('\n') {
            let bare = line.trim_start_matches('\u{feff}');
            if bare.starts_with("name:") || bare.starts_with("node_name:") {
                let key = bare.split(':').next().unwrap_or_default();
                let ending = &line[line.trim_end_matches(['\r', '\n']).len()..];
                text.extend([&line[..line.len() - bare.len()], key, ": ", name, ending]);
            } else {
                text.push_str(line);
            }
        }
        text
    }
}
