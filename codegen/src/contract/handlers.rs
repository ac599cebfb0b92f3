//! `handler_routing`: which handler answers what.

use super::ModelUse;
use super::reader::{Reader, spelled_name};
use super::schema::ClassRef;
use crate::diagnostic::Place;
use crate::python;
use crate::yaml::Node;

/// The method of a handler class where the contract names none.
const METHOD: &str = "handle";

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
    /// The class, or the function.
    pub handler: ClassRef,
    pub call: Call,
    /// The handler as the contract writes it: `HandlerX`, `handle_x` or `HandlerX.on_tick`.
    pub written: String,
    /// Named by `handler_class` or `handler_key`, not by `handler`.
    pub keyed: bool,
    pub routing_key: Option<String>,
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

/// What is called when an event comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A method of the class.
    Method(String),
    /// The handler is a function itself; `awaited` where it is `async`.
    Function { awaited: bool },
}

pub(super) fn routing(reader: &mut Reader, root: &Node) -> Routing {
    let Some(section) = reader.map(root, "handler_routing") else { return Routing::default() };
    let default_handler = match section.get("default_handler") {
        Some(node) if node.get("function").is_some() => reader.text(node, "function").map(str::to_owned),
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
    let named = named(reader, entry);
    let mut text = |key: &str| reader.text(entry, key).map(str::to_owned);
    let [operation, topic, event_type, payload_type, routing_key] =
        ["operation", "topic", "event_type", "payload_type", "routing_key"].map(&mut text);
    let [message_category, backend] = ["message_category", "backend"].map(&mut text);
    let (handler, call, written) = named?;
    Some(Route {
        place: entry.place,
        handler,
        call,
        written,
        keyed: entry.get("handler").is_none(),
        routing_key,
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
    })
}

/// Who answers: `handler` with a class or a `function`, `handler_class`, or `handler_key` with a class and a method.
fn named(reader: &mut Reader, entry: &Node) -> Option<(ClassRef, Call, String)> {
    let method = || Call::Method(METHOD.to_owned());
    if let Some(handler) = entry.get("handler") {
        if handler.get("function").is_some() {
            return function(reader, handler);
        }
        let class = reader.class(handler, "handler")?;
        return Some((class.clone(), method(), class.name));
    }
    for key in ["handler_class", "handler_key"] {
        let Some(named) = entry.get(key) else { continue };
        let written = reader.text(entry, key)?.to_owned();
        let (name, call) = match written.split_once('.') {
            Some((name, named)) if key == "handler_key" => (name, Call::Method(named.to_owned())),
            _ => (written.as_str(), method()),
        };
        let module = reader.text(entry, "handler_module").map(str::to_owned);
        let class = ClassRef { name: name.to_owned(), module, place: named.place };
        return checked(reader, class, call, written.clone());
    }
    let help = "add `handler:` with `name` and `module` under it";
    reader.fault(entry.place, "the entry names no `handler`".to_owned(), "`handler`", help);
    None
}

/// `function:` alone is a function of the module; beside the name of a class it is a method of that class.
fn function(reader: &mut Reader, handler: &Node) -> Option<(ClassRef, Call, String)> {
    let function = reader.text(handler, "function")?.to_owned();
    let module = reader.text(handler, "module").map(str::to_owned);
    let place = handler.get("function").map_or(handler.place, |named| named.place);
    let name = spelled_name(handler).and_then(Node::text).unwrap_or(&function).to_owned();
    let call = if name == function {
        Call::Function { awaited: handler.get("type").and_then(Node::text) != Some("sync") }
    } else {
        Call::Method(function)
    };
    checked(reader, ClassRef { name: name.clone(), module, place }, call, name)
}

fn checked(reader: &mut Reader, class: ClassRef, call: Call, written: String) -> Option<(ClassRef, Call, String)> {
    if let Call::Method(method) = &call
        && (!python::is_identifier(method) || python::is_keyword(method) || method.starts_with("__"))
    {
        let message = format!("`{}` is not the name of a method", super::reader::quoted(method));
        reader.fault(class.place, message, "letters, digits and `_`", "for example `HandlerTick.on_tick`");
        return None;
    }
    reader.check_class(&class).then_some((class, call, written))
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
