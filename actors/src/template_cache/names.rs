//! What templates are called in figures and commands: `PACK/TEMPLATE`, of the type `PACK/KIND`.

use codegen::nearest;

/// The old system's names, one template a node kind, as people still type them.
const NODE_KINDS: [&str; 4] = ["effect", "compute", "reducer", "orchestrator"];

/// The type of a template: its pack and what it makes, of six kinds. `onex/node.py.j2` is of the type `onex/py`.
pub fn kind(name: &str) -> String {
    let (pack, template) = name.split_once('/').unwrap_or(("", name));
    let made = template.strip_suffix(".j2").unwrap_or(template);
    let ending = made.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map(|(_, ending)| ending);
    let kind = match ending {
        Some("py" | "pyi") => "py",
        Some("yaml" | "yml") => "yaml",
        Some("json") => "json",
        Some("toml") => "toml",
        Some("md") => "md",
        _ => "other",
    };
    format!("{pack}/{kind}")
}

/// A name that no template has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no template `{name}` is known; {help}")]
pub struct UnknownTemplate {
    pub name: String,
    /// What to type instead.
    pub help: String,
}

impl UnknownTemplate {
    /// `known` are the names that there are.
    pub fn new(name: &str, known: &[&str]) -> Self {
        let ends_so = |known: &&&str| known.strip_suffix(name).is_some_and(|before| before.ends_with('/'));
        let near = || nearest(name, known);
        let of_node_kind = name.to_lowercase().strip_suffix("_template").is_some_and(|kind| NODE_KINDS.contains(&kind));
        let help = match known.iter().find(ends_so).copied().or_else(near) {
            _ if of_node_kind => {
                "one set of templates serves all node kinds here: name one of them, such as `onex/node.py.j2`, or none \
                 for all"
                    .to_owned()
            }
            Some(known) => format!("did you mean `{known}`?"),
            None => "`omninode cache stats --per-template` lists them".to_owned(),
        };
        Self { name: name.to_owned(), help }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_template_is_its_pack_and_what_it_makes() {
        for (name, expected) in [
            ("onex/node.py.j2", "onex/py"),
            ("onex/tests/contract.py.j2", "onex/py"),
            ("onex/README.md.j2", "onex/md"),
            ("onex/header.j2", "onex/other"),
            ("mine@0123456789ab/a.yml", "mine@0123456789ab/yaml"),
            ("onex/a.b/c", "onex/other"),
        ] {
            assert_eq!(kind(name), expected);
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_what_was_probably_meant() {
        let known = ["onex/model.py.j2", "onex/node.py.j2"];
        let help = |name| UnknownTemplate::new(name, &known).help;
        assert_eq!(help("onex/nod.py.j2"), "did you mean `onex/node.py.j2`?");
        assert_eq!(help("node.py.j2"), "did you mean `onex/node.py.j2`?");
        assert!(help("EFFECT_template").contains("all node kinds"));
        assert!(help("whatever").contains("--per-template"));
    }
}
