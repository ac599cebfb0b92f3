//! `handler_routing`: which handler answers what.

use super::ModelUse;
use super::reader::Reader;
use super::schema::ClassRef;
use crate::diagnostic::Place;
use crate::yaml::Node;

/// The `handler_routing` section.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    pub strategy: Option<String>,
    pub default_handler: Option<String>,
    pub routes: Vec<Route>,
}

/// One entry of `handler_routing.handlers`.
#[derive(Debug, Clone)]
pub struct Route {
    pub place: Place,
    pub handler: ClassRef,
    pub operation: Option<String>,
    pub topic: Option<String>,
    pub event_type: Option<String>,
    pub payload_type: Option<String>,
    pub message_category: Option<String>,
    pub backend: Option<String>,
    pub event_model: Option<ModelUse>,
    pub input_model: Option<ModelUse>,
    pub output_model: Option<ModelUse>,
    pub supported_operations: Vec<String>,
    pub output_events: Vec<String>,
    pub output_fields: Vec<super::IoField>,
    pub description: Option<String>,
}

pub(super) fn routing(reader: &mut Reader, root: &Node) -> Routing {
    let Some(section) = reader.map(root, "handler_routing") else { return Routing::default() };
    let default_handler = match section.get("default_handler") {
        Some(node) if node.map().is_some() => reader.class(node, "default_handler").map(|class| class.name),
        Some(_) => reader.text(section, "default_handler").map(str::to_owned),
        None => None,
    };
    Routing {
        strategy: reader.text(section, "routing_strategy").map(str::to_owned),
        default_handler,
        routes: reader.list(section, "handlers").iter().filter_map(|entry| route(reader, entry)).collect(),
    }
}

fn route(reader: &mut Reader, entry: &Node) -> Option<Route> {
    if entry.map().is_none() {
        let help = "write `- handler:` with `name` and `module` under it, and what it answers to";
        reader.wrong_kind(entry, "handlers[]", "a mapping with `handler`", help);
        return None;
    }
    let Some(named) = entry.get("handler") else {
        let help = "add `handler:` with `name` and `module` under it";
        reader.fault(entry.place, "the entry names no `handler`".to_owned(), "`handler`", help);
        return None;
    };
    let handler = reader.class(named, "handler");
    let mut text = |key: &str| reader.text(entry, key).map(str::to_owned);
    let [operation, topic, event_type, payload_type] =
        ["operation", "topic", "event_type", "payload_type"].map(&mut text);
    let [message_category, backend] = ["message_category", "backend"].map(&mut text);
    Some(Route {
        place: entry.place,
        operation,
        topic,
        event_type,
        payload_type,
        message_category,
        backend,
        event_model: reader.model_use(entry, "event_model"),
        input_model: reader.model_use(entry, "input_model"),
        output_model: reader.model_use(entry, "output_model"),
        supported_operations: texts(reader, entry, "supported_operations"),
        output_events: texts(reader, entry, "output_events"),
        output_fields: super::sections::io_fields(reader, entry, "output_fields"),
        description: reader.words(entry, "description"),
        handler: handler?,
    })
}

/// A list of texts; one text alone counts as a list of one.
pub(super) fn texts(reader: &mut Reader, node: &Node, key: &str) -> Vec<String> {
    let Some(value) = node.get(key) else { return Vec::new() };
    if let Some(text) = value.text() {
        return vec![text.to_owned()];
    }
    let mut found = Vec::new();
    for item in reader.list(node, key) {
        // A mapping in such a list describes the item; its name is what counts.
        let name =
            item.text().or_else(|| ["name", "topic", "event_type"].into_iter().find_map(|key| item.get(key)?.text()));
        match name {
            Some(text) => found.push(text.to_owned()),
            None => reader.wrong_kind(item, &format!("{key}[]"), "text", "write each item as text"),
        }
    }
    found
}
