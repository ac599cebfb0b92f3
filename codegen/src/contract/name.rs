//! What a node is called, which of the four kinds it is, and its version.

use super::reader::{Reader, quoted, scalar_text};
use crate::diagnostic::Place;
use crate::nearest::nearest;
use crate::python;
use crate::yaml::{Node, Value};

/// The longest node name, in bytes: it becomes a folder, and folders of generated packages become longer paths.
const NAME_BYTES_MAX: usize = 100;

/// The four kinds of ONEX nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    Effect,
    Compute,
    Reducer,
    Orchestrator,
}

impl NodeKind {
    pub const ALL: [Self; 4] = [Self::Effect, Self::Compute, Self::Reducer, Self::Orchestrator];

    /// The kind as contracts write it, without a suffix: `EFFECT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Effect => "EFFECT",
            Self::Compute => "COMPUTE",
            Self::Reducer => "REDUCER",
            Self::Orchestrator => "ORCHESTRATOR",
        }
    }
}

/// Whether this is a node contract at all; a fault that says so where it is not.
pub(super) fn is_node_contract(reader: &mut Reader, root: &Node) -> bool {
    let help = "give the path of an ONEX `contract.yaml`; it has `name`, `node_type` and `contract_version`";
    if root.map().is_none() {
        let found = format!("not a node contract: the document is {}", root.kind());
        reader.fault(root.place, found, "a mapping with `name` and `node_type`", help);
        return false;
    }
    if root.get("node_type").is_none() {
        let found = "not a node contract: it has no `node_type`".to_owned();
        reader.fault(root.place, found, "a mapping with `name` and `node_type`", help);
        return false;
    }
    true
}

/// The package that a contract would become, found without reading the whole of it where that is possible. None where it
/// names none, or is broken.
pub fn peek_package(bytes: &[u8]) -> Option<String> {
    let read = || {
        let root = crate::yaml::parse("", bytes).ok()?;
        node_name(&mut Reader::new(""), &root).map(|(name, _)| name)
    };
    python::package_name(&crate::yaml::peek_name(bytes).or_else(read)?)
}

/// The node's name; the older spellings of the key count where `name` is missing.
pub(super) fn node_name(reader: &mut Reader, root: &Node) -> Option<(String, Place)> {
    const HELP: &str = "a name in small letters, for example `name: node_order_intake_effect`";
    let found = ["name", "node_name", "contract_name", "node_id"].into_iter().find_map(|key| root.get(key));
    let Some(node) = found else {
        reader.fault(root.place, "the contract has no `name`".to_owned(), "`name`, as text", HELP);
        return None;
    };
    let Value::Text(name) = &node.value else {
        reader.wrong_kind(node, "name", "text", HELP);
        return None;
    };
    let wrong = if name.trim().is_empty() {
        Some("the node's name is empty".to_owned())
    } else if name.len() > NAME_BYTES_MAX {
        Some(format!("the node's name is {} bytes long", name.len()))
    } else if name.contains(['/', '\\']) || name.chars().any(char::is_control) {
        Some(format!("the node's name `{}` holds a slash or a control character", quoted(name)))
    } else if name.starts_with('.') || !name.chars().any(char::is_alphanumeric) {
        Some(format!("the node's name `{}` cannot be the name of a folder", quoted(name)))
    } else {
        None
    };
    if let Some(message) = wrong {
        reader.fault(node.place, message, "a name of up to 100 bytes with a letter or digit, and no slash", HELP);
        return None;
    }
    Some((name.clone(), node.place))
}

pub(super) fn node_kind(reader: &mut Reader, root: &Node) -> Option<NodeKind> {
    const EXPECTED: &str = "EFFECT, COMPUTE, REDUCER or ORCHESTRATOR (a suffix such as `_GENERIC` may follow)";
    let node = root.get("node_type")?;
    let Some(text) = node.text() else {
        reader.wrong_kind(node, "node_type", EXPECTED, "write one kind as text, for example `EFFECT_GENERIC`");
        return None;
    };
    let word = text.trim().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    // A suffix is more words; anything else is no node type that somebody meant.
    let is_words = text.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c));
    let kind = NodeKind::ALL.into_iter().find(|kind| is_words && kind.as_str().eq_ignore_ascii_case(word));
    if kind.is_none() {
        let help = match nearest(word, &NodeKind::ALL.map(NodeKind::as_str)) {
            Some(near) => format!("did you mean `{near}_GENERIC`?"),
            None => "a node reads or writes the world (EFFECT), computes (COMPUTE), keeps state (REDUCER) or leads \
                     others (ORCHESTRATOR)"
                .to_owned(),
        };
        reader.fault(node.place, format!("unknown node type `{}`", quoted(text)), EXPECTED, &help);
    }
    kind
}

/// `contract_version`, or `node_version` where that is missing; both are checked.
pub(super) fn version(reader: &mut Reader, root: &Node) -> Option<String> {
    let contract = version_under(reader, root, "contract_version");
    let node = version_under(reader, root, "node_version");
    contract.or(node)
}

fn version_under(reader: &mut Reader, root: &Node, key: &str) -> Option<String> {
    const EXPECTED: &str = "a mapping with `major`, `minor` and `patch`, or text such as `1.0.2`";
    let node = root.get(key)?;
    match &node.value {
        Value::Map(_) => {
            let part = |name: &str| match node.get(name).map(|part| &part.value) {
                None => Some(0),
                Some(Value::Int(number)) if *number >= 0 => Some(*number),
                Some(_) => None,
            };
            if let (Some(_), Some(major), Some(minor), Some(patch)) =
                (node.get("major"), part("major"), part("minor"), part("patch"))
            {
                return Some(format!("{major}.{minor}.{patch}"));
            }
            reader.fault(node.place, format!("`{key}` is not a version"), EXPECTED, "use whole numbers from 0 up");
            None
        }
        Value::Text(text) if is_version(text.trim()) => Some(text.trim().to_owned()),
        _ => {
            let shown = scalar_text(node).map_or(node.kind().to_owned(), |text| format!("`{}`", quoted(&text)));
            let help = "put it in quotes, with three numbers: \"1.0.0\"";
            reader.fault(node.place, format!("`{key}` is {shown}, not a version"), EXPECTED, help);
            None
        }
    }
}

/// `1.0.2`, `v1.0`, `1.0.0-beta.1`: numbers joined by dots, and what may follow them.
fn is_version(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let mut count = 0;
    for number in numbers.split('.') {
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        count += 1;
    }
    (1..=4).contains(&count) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b))
}
