//! The other sections: operations, events, dependencies, workflow, notes.

use super::ModelUse;
use super::reader::{Reader, scalar_text};
use super::schema::{self, ClassRef, Schema, Shape};
use crate::diagnostic::Place;
use crate::yaml::{Node, Value};

/// One entry of `io_operations`.
#[derive(Debug, Clone)]
pub struct Operation {
    /// None for the contract's own `inputs` and `outputs`.
    pub name: Option<String>,
    pub description: Option<String>,
    pub input_model: Option<ModelUse>,
    pub output_model: Option<ModelUse>,
    pub inputs: Vec<IoField>,
    pub outputs: Vec<IoField>,
}

/// A field that an operation reads or gives, by name and, where the contract says it, by type.
#[derive(Debug, Clone, PartialEq)]
pub struct IoField {
    pub name: String,
    pub place: Place,
    pub schema: Option<Schema>,
}

/// A topic or event, and what the contract says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    pub topic: String,
    pub event_type: Option<String>,
    pub description: Option<String>,
}

/// A name with a description.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    pub name: String,
    pub description: Option<String>,
}

/// Something that the node needs.
#[derive(Debug, Clone)]
pub struct Dependency {
    pub name: String,
    pub kind: Option<String>,
    pub description: Option<String>,
    pub required: bool,
    pub env_var: Option<String>,
    /// The class that stands for it, where the contract names its module too.
    pub class: Option<ClassRef>,
}

#[derive(Debug, Clone)]
pub struct FeatureFlag {
    pub name: String,
    pub env_var: Option<String>,
    pub default: Option<String>,
    pub description: Option<String>,
}

/// `error_handling.retry_policy`.
#[derive(Debug, Clone)]
pub struct Retry {
    pub max_retries: Option<i128>,
    pub initial_delay_ms: Option<i128>,
    pub max_delay_ms: Option<i128>,
}

/// One step of an orchestrator's workflow.
#[derive(Debug, Clone)]
pub struct Step {
    pub id: String,
    pub node_type: Option<String>,
    pub description: Option<String>,
    pub depends_on: Vec<String>,
}

/// The contract's own description, or else that of its metadata.
pub(super) fn description(reader: &mut Reader, root: &Node) -> Option<String> {
    let own = reader.words(root, "description");
    own.or_else(|| root.get("metadata")?.get("description")?.text().map(str::to_owned))
}

/// An SPDX expression such as `MIT OR Apache-2.0`; other words about the licence are not one.
pub(super) fn license(metadata: &Node) -> Option<String> {
    let license = metadata.get("license")?.text()?.trim();
    let is_expression = license.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" .-+()".contains(&byte));
    (is_expression && !license.is_empty() && license.len() <= 100).then(|| license.to_owned())
}

/// `input: {model: a.b.ModelX}`, as demonstration contracts have it.
pub(super) fn demo_model(reader: &mut Reader, root: &Node, key: &str) -> Option<ModelUse> {
    let section = root.get(key)?;
    let named = section.get("model")?;
    let shape = schema::type_text(reader, named)?.into_shape();
    Some(ModelUse { shape, written: None, description: reader.words(section, "description") })
}

pub(super) fn operations(reader: &mut Reader, root: &Node) -> Vec<Operation> {
    let mut operations = Vec::new();
    for entry in reader.list(root, "io_operations") {
        if entry.map().is_none() {
            let help = "write `- operation: ...` with `input_fields` and `output_fields` under it";
            reader.wrong_kind(entry, "io_operations[]", "a mapping", help);
            continue;
        }
        let name = entry.spelled(&["operation", "name", "operation_id"]);
        operations.push(Operation {
            name: reader.text(entry, name).map(str::to_owned),
            description: reader.words(entry, "description"),
            input_model: reader.model_use(entry, entry.spelled(&["input_model", "input_type"])),
            output_model: reader.model_use(entry, entry.spelled(&["output_model", "output_type"])),
            inputs: io_fields(reader, entry, "input_fields"),
            outputs: io_fields(reader, entry, "output_fields"),
        });
    }
    let own = Operation {
        name: None,
        description: None,
        input_model: None,
        output_model: None,
        inputs: io_fields(reader, root, "inputs"),
        outputs: io_fields(reader, root, "outputs"),
    };
    if !own.inputs.is_empty() || !own.outputs.is_empty() {
        operations.push(own);
    }
    operations
}

/// The fields under `key`: names, `name: type` pairs, or mappings with `name` and `type`.
pub(super) fn io_fields(reader: &mut Reader, node: &Node, key: &str) -> Vec<IoField> {
    let Some(value) = node.get(key) else { return Vec::new() };
    match &value.value {
        Value::Map(entries) => entries
            .iter()
            .map(|entry| IoField {
                name: entry.key.clone(),
                place: entry.key_place,
                schema: field_schema(reader, &entry.value),
            })
            .collect(),
        Value::List(items) => items.iter().filter_map(|item| io_field(reader, item, key)).collect(),
        _ => {
            reader.wrong_kind(value, key, "a list of field names", "begin each field with `- `");
            Vec::new()
        }
    }
}

fn io_field(reader: &mut Reader, item: &Node, key: &str) -> Option<IoField> {
    match &item.value {
        Value::Text(name) if !name.trim().is_empty() => {
            Some(IoField { name: name.trim().to_owned(), place: item.place, schema: None })
        }
        Value::Map(_) if item.get("name").and_then(Node::text).is_some() => Some(IoField {
            name: reader.text(item, "name")?.to_owned(),
            place: item.place,
            schema: schema::schema(reader, item),
        }),
        Value::Map(entries) if entries.len() == 1 => {
            let entry = &entries[0];
            let schema = field_schema(reader, &entry.value);
            Some(IoField { name: entry.key.clone(), place: entry.key_place, schema })
        }
        _ => {
            let help = "write the name alone, or `name: type`";
            reader.wrong_kind(item, &format!("{key}[]"), "the name of a field", help);
            None
        }
    }
}

/// The type of a field as text or schema. Words that are no type say what the field holds: they describe it.
fn field_schema(reader: &mut Reader, node: &Node) -> Option<Schema> {
    match node.text() {
        None => schema::schema(reader, node),
        Some(text) => schema::type_text_lenient(text, node.place).or_else(|| {
            let any = Schema::plain(node.place, Shape::Any);
            Some(Schema { description: Some(text.to_owned()), ..any })
        }),
    }
}

/// The topics that the node reads, and those that it writes.
pub(super) fn topics(reader: &mut Reader, root: &Node) -> (Vec<Topic>, Vec<Topic>) {
    let bus = reader.map(root, "event_bus");
    let topics = root.get("topics");
    let events = root.get("events");
    let none = |key: &'static str| move |section: &Node| section.get(key).cloned();
    let mut reads = Vec::new();
    let mut writes = Vec::new();
    for list in [
        root.get("consumed_events").cloned(),
        root.get("input_subscriptions").cloned(),
        root.get("subscriptions").and_then(none("topics")),
        topics.and_then(none("consumes")),
        bus.and_then(none("subscribe")),
        bus.and_then(none("subscribe_topics")),
        root.get("subscribe_topics").cloned(),
        events.and_then(none("consumes")),
    ] {
        gather(&mut reads, list.as_ref());
    }
    for list in [
        root.get("published_events").cloned(),
        root.get("publications").cloned(),
        root.get("produced_events").cloned(),
        topics.and_then(none("produces")),
        bus.and_then(none("publish")),
        bus.and_then(none("publish_topics")),
        root.get("publish_topics").cloned(),
        events.and_then(none("emits")),
        root.get("terminal_event").cloned(),
    ] {
        gather(&mut writes, list.as_ref());
    }
    (reads, writes)
}

/// Adds the topics of one list; a topic that is known already only gains what was not said before.
fn gather(topics: &mut Vec<Topic>, list: Option<&Node>) {
    let Some(list) = list else { return };
    for item in list.list().unwrap_or(std::slice::from_ref(list)) {
        let part = |key: &str| item.get(key).and_then(Node::text).map(str::to_owned);
        let event_type = part("event_type");
        let Some(topic) = item.text().map(str::to_owned).or_else(|| part("topic")).or(event_type.clone()) else {
            continue;
        };
        let found = Topic { topic, event_type, description: part("description") };
        match topics.iter_mut().find(|known| known.topic == found.topic) {
            Some(known) => {
                known.event_type = known.event_type.take().or(found.event_type);
                known.description = known.description.take().or(found.description);
            }
            None => topics.push(found),
        }
    }
}

pub(super) fn further_models(reader: &mut Reader, root: &Node) -> Vec<ModelUse> {
    let mut models = Vec::new();
    for key in ["state_model", "config"] {
        if root.get(key).is_some_and(|node| node.get("name").is_some() && node.get("module").is_some()) {
            models.extend(reader.model_use(root, key));
        }
    }
    let intents = reader.map(root, "intent_emission").and_then(|section| section.get("intents"));
    for intent in intents.and_then(Node::list).unwrap_or_default() {
        let Some(payload) = intent.get("payload_model") else { continue };
        let Some(mut class) = reader.class(payload, "payload_model") else { continue };
        class.module = reader.text(intent, "payload_module").map(str::to_owned).or(class.module);
        if reader.check_class(&class) {
            let description = reader.words(intent, "description");
            models.push(ModelUse { shape: Shape::Class(class), written: None, description });
        }
    }
    models
}

pub(super) fn dependencies(reader: &mut Reader, root: &Node) -> Vec<Dependency> {
    let Some(section) = root.get("dependencies") else { return Vec::new() };
    let mut found = Vec::new();
    match &section.value {
        Value::List(items) => {
            for item in items {
                found.extend(dependency(reader, item, true));
            }
        }
        // `required: [..]`, `optional: [..]`, or a mapping from name to what it is.
        Value::Map(entries) => {
            for entry in entries {
                match entry.value.list() {
                    Some(items) => {
                        for item in items {
                            found.extend(dependency(reader, item, entry.key != "optional"));
                        }
                    }
                    None => found.push(Dependency { name: entry.key.clone(), ..described(reader, &entry.value, true) }),
                }
            }
        }
        _ => reader.wrong_kind(section, "dependencies", "a list", "begin each dependency with `- name:`"),
    }
    found
}

fn dependency(reader: &mut Reader, item: &Node, required: bool) -> Option<Dependency> {
    if let Some(name) = item.text() {
        return Some(Dependency { name: name.to_owned(), ..described(reader, item, required) });
    }
    let name = ["name", "type", "class_name"].into_iter().find_map(|key| item.get(key)?.text());
    let Some(name) = name else {
        let help = "write `- name: ...`, with `type` and `description` under it";
        reader.wrong_kind(item, "dependencies[]", "a mapping with `name`", help);
        return None;
    };
    Some(Dependency { name: name.to_owned(), ..described(reader, item, required) })
}

fn described(reader: &mut Reader, item: &Node, required: bool) -> Dependency {
    let text = |key: &str| item.get(key).and_then(Node::text).map(str::to_owned);
    let named =
        ["class_name", "protocol", "type"].into_iter().find_map(|key| item.get(key).filter(|n| is_class_like(n)));
    let class = match (named, text("module")) {
        (Some(named), Some(module)) => {
            let name = named.text().unwrap_or_default().to_owned();
            let class = ClassRef { name, module: Some(module), place: named.place };
            reader.check_class(&class).then_some(class)
        }
        _ => None,
    };
    let optional = item.get("optional").is_some_and(|node| node.value == Value::Bool(true));
    let not_required = item.get("required").is_some_and(|node| node.value == Value::Bool(false));
    Dependency {
        name: String::new(),
        kind: text("type"),
        description: item.get("description").and_then(scalar_text),
        required: required && !optional && !not_required,
        env_var: text("env_var"),
        class,
    }
}

/// `ProtocolEventBus`, and not `protocol` or `environment`.
fn is_class_like(node: &Node) -> bool {
    node.text().is_some_and(|text| text.starts_with(char::is_uppercase) && crate::python::is_identifier(text))
}

/// The named things under `key`: texts, or mappings with a name.
pub(super) fn notes(reader: &mut Reader, root: &Node, key: &str) -> Vec<Note> {
    let items = reader.list(root, key);
    items.iter().filter_map(note).collect()
}

fn note(item: &Node) -> Option<Note> {
    let name = item.text().or_else(|| ["name", "code"].into_iter().find_map(|key| item.get(key)?.text()))?;
    Some(Note { name: name.to_owned(), description: item.get("description").and_then(scalar_text) })
}

pub(super) fn error_types(reader: &mut Reader, root: &Node) -> Vec<Note> {
    let Some(section) = reader.map(root, "error_handling") else { return Vec::new() };
    let lists = ["error_types", "error_codes"].into_iter().filter_map(|key| section.get(key)?.list());
    lists.flatten().filter_map(note).collect()
}

pub(super) fn retry(reader: &mut Reader, root: &Node) -> Option<Retry> {
    let policy = reader.map(root, "error_handling")?.get("retry_policy")?;
    let number = |key: &str| match policy.get(key).map(|node| &node.value) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    Some(Retry {
        max_retries: number("max_retries"),
        initial_delay_ms: number("initial_delay_ms"),
        max_delay_ms: number("max_delay_ms"),
    })
}

pub(super) fn feature_flags(reader: &mut Reader, root: &Node) -> Vec<FeatureFlag> {
    let flags = reader.list(root, "feature_flags").iter().filter_map(|item| {
        let text = |key: &str| item.get(key).and_then(scalar_text);
        let name = item.text().map(str::to_owned).or_else(|| text("name"))?;
        Some(FeatureFlag {
            name,
            env_var: text("env_var"),
            default: text("default").or_else(|| text("default_value")),
            description: text("description"),
        })
    });
    flags.collect()
}

/// `workflow_coordination.workflow_definition.execution_graph.nodes`, in their order.
pub(super) fn steps(reader: &mut Reader, root: &Node) -> Vec<Step> {
    let Some(section) = reader.map(root, "workflow_coordination") else { return Vec::new() };
    let graph = section.get("workflow_definition").unwrap_or(section).get("execution_graph");
    let nodes = graph.and_then(|graph| graph.get("nodes")).and_then(Node::list).unwrap_or_default();
    let step = |node: &Node| {
        let text = |key: &str| node.get(key).and_then(scalar_text);
        let depends_on = node.get("depends_on").and_then(Node::list).unwrap_or_default();
        Some(Step {
            id: text("node_id").or_else(|| text("name"))?,
            node_type: text("node_type"),
            description: text("description"),
            depends_on: depends_on.iter().filter_map(scalar_text).collect(),
        })
    };
    nodes.iter().filter_map(step).collect()
}
