//! What `config check` and `config show` print: for people, or as data.

use serde_json::json;

use super::reader::plain;
use super::{Fault, Loaded};
use crate::diagnostics;

impl Loaded {
    /// The faults, as a person reads them.
    pub fn faults_in_words(&self, colour: bool) -> Vec<String> {
        let render = |fault: &Fault| diagnostics::render(&fault.diagnostic, self.source_of(fault), colour);
        self.faults.iter().map(render).collect()
    }

    /// The warnings, as a person reads them.
    pub fn warnings_in_words(&self, colour: bool) -> Vec<String> {
        let render = |fault: &Fault| diagnostics::render_warning(&fault.diagnostic, self.source_of(fault), colour);
        self.warnings.iter().map(render).collect()
    }

    /// The text behind a fault, without secrets. Of `.env` files no line is ever shown.
    fn source_of(&self, fault: &Fault) -> Option<&str> {
        self.source.as_deref().filter(|_| fault.origin == "file")
    }

    /// What was checked, in one line.
    pub fn verdict(&self) -> String {
        let files: Vec<&str> = self.file.iter().chain(&self.env_file).map(String::as_str).collect();
        let what = if files.is_empty() {
            "no configuration file; defaults and environment".to_owned()
        } else {
            files.join(" and ")
        };
        let count = |number: usize, noun: &str| match number {
            0 => format!("no {noun}s"),
            1 => format!("1 {noun}"),
            number => format!("{number} {noun}s"),
        };
        format!("{what}: {}, {}\n", count(self.faults.len(), "fault"), count(self.warnings.len(), "warning"))
    }

    pub fn check_as_json(&self) -> String {
        let told = |faults: &[Fault]| -> Vec<_> {
            let fault = |fault: &Fault| {
                let mut told = json!(fault);
                if matches!(fault.origin, "flag" | "environment") {
                    // A flag or a variable is no file.
                    told["from"] = told["file"].take();
                }
                told
            };
            faults.iter().map(fault).collect()
        };
        let report = json!({
            "file": self.file,
            "env_file": self.env_file,
            "faults": told(&self.faults),
            "warnings": told(&self.warnings),
        });
        format!("{report:#}\n")
    }

    /// A line for each setting: key, value, where it comes from.
    pub fn settings_in_words(&self) -> String {
        // On one line, whatever it holds.
        let escaped = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
        let value = |value: &serde_json::Value| plain(value).chars().map(escaped).collect::<String>();
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let keys = width(&mut self.shown.iter().map(|shown| shown.key.len()));
        let values = width(&mut self.shown.iter().map(|shown| value(&shown.value).chars().count()));
        let lines = self.shown.iter().map(|shown| {
            let unused = if shown.in_use { "" } else { " (not in use)" };
            format!("{:keys$}  {:values$}  {}{unused}\n", shown.key, value(&shown.value), shown.origin)
        });
        lines.collect()
    }

    pub fn settings_as_json(&self) -> String {
        let setting = |shown: &super::Shown| {
            json!({
                "key": shown.key,
                "value": shown.value,
                "origin": shown.origin.kind(),
                "from": shown.origin.to_string(),
                "in_use": shown.in_use,
            })
        };
        let settings: Vec<_> = self.shown.iter().map(setting).collect();
        format!("{:#}\n", json!({ "settings": settings }))
    }
}
