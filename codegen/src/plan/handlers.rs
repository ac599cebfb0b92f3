//! The handlers of a node, and the table that says which of them answers what.

use super::classes::{Body, ClassId, Classes, Home, Role};
use super::layout::{COLUMNS_MAX, Code, Item, statement};
use super::models::Models;
use super::operations::NodeTypes;
use super::text;
use super::types::{Scope, Type};
use super::view::{HandlerView, MethodView, RouteFieldView, RoutingView};
use crate::contract::{Call, Contract, ModelUse, Operation, Route};

/// One handler class, and what all entries of the contract together say about it.
pub(super) struct Handler {
    pub(super) class: ClassId,
    /// What is called: a function, or methods of the class in the order of the contract.
    pub(super) calls: Vec<Call>,
    pub(super) answers: Vec<String>,
    pub(super) request: Type,
    pub(super) response: Type,
    descriptions: Vec<String>,
}

/// The handlers in the order of the contract, each once.
pub(super) fn handlers(models: &mut Models<'_>, types: &NodeTypes, stem: &str) -> Vec<Handler> {
    let contract = models.contract;
    let mut handlers: Vec<Handler> = Vec::new();
    for route in &contract.routing.routes {
        let class = match models.classes.named(&route.handler, Role::Handler, &contract.file) {
            Ok(class) => class,
            Err(fault) => {
                models.faults.push(fault);
                continue;
            }
        };
        if !matches!(models.classes.get(class).body, Body::Handler | Body::Foreign) {
            let message = format!("`{}` is named as a handler and as a model", route.handler.name);
            models.fault(route.handler.place, message, "a class for each", "give one of them another name");
            continue;
        }
        let (request, response) = route_types(models, route, types, stem);
        let answers = answers(route);
        match handlers.iter_mut().find(|handler| handler.class == class) {
            Some(known) => {
                known.request = Type::union(vec![known.request.clone(), request]);
                known.response = Type::union(vec![known.response.clone(), response]);
                known
                    .answers
                    .extend(answers.into_iter().filter(|answer| !known.answers.contains(answer)).collect::<Vec<_>>());
                known.descriptions.extend(route.description.clone());
                if !known.is_function() && !known.calls.contains(&route.call) {
                    known.calls.push(route.call.clone());
                }
            }
            None => {
                let descriptions = route.description.clone().into_iter().collect();
                let calls = vec![route.call.clone()];
                handlers.push(Handler { class, calls, answers, request, response, descriptions });
            }
        }
    }
    handlers
}

/// What a handler takes and gives for one entry: what the entry says, else its operation, else the node.
fn route_types(models: &mut Models<'_>, route: &Route, types: &NodeTypes, stem: &str) -> (Type, Type) {
    let contract = models.contract;
    let operation =
        contract.operations.iter().find(|operation| operation.name.is_some() && operation.name == route.operation);
    let of_operation =
        |pick: fn(&Operation) -> &Option<ModelUse>| operation.and_then(|operation| pick(operation).as_ref());
    let request = route.input_model.as_ref().or(route.event_model.as_ref());
    let request = request.or_else(|| of_operation(|operation| &operation.input_model));
    let response = route.output_model.as_ref().or_else(|| of_operation(|operation| &operation.output_model));
    let mut kind = |named: Option<&ModelUse>, node: &Type| {
        named.map_or_else(|| node.clone(), |named| models.type_of_use(named, stem))
    };
    (kind(request, &types.input), kind(response, &types.output))
}

/// What an entry answers, most telling first.
fn answers(route: &Route) -> Vec<String> {
    let named = route.operation.iter().chain(&route.supported_operations);
    let mut answers: Vec<String> = Vec::new();
    for answer in named {
        if !answers.contains(answer) {
            answers.push(answer.clone());
        }
    }
    if answers.is_empty() {
        let other =
            [&route.event_type, &route.payload_type, &route.routing_key, &route.topic].into_iter().flatten().next();
        answers.extend(other.cloned());
    }
    answers
}

impl Handler {
    pub(super) fn is_function(&self) -> bool {
        matches!(self.calls.first(), Some(Call::Function { .. }))
    }

    /// The methods of the class; none of a function.
    pub(super) fn methods(&self) -> impl Iterator<Item = &str> {
        self.calls.iter().filter_map(|call| if let Call::Method(name) = call { Some(name.as_str()) } else { None })
    }

    /// Whether the package has the class.
    pub(super) fn is_own(&self, classes: &Classes) -> bool {
        matches!(classes.get(self.class).home, Home::Own(_))
    }

    pub(super) fn view(&self, contract: &Contract, scope: &Scope) -> HandlerView {
        let class = scope.classes.get(self.class);
        let (own, place) = match &class.home {
            Home::Own(module) => (true, format!("{}.py", module.join("/"))),
            Home::Foreign(module) => (false, module.clone()),
        };
        let (request, response) = (self.request.expression(scope), self.response.expression(scope));
        let methods = self.calls.iter().map(|call| self.method(call, &class.name, contract, &request, &response));
        HandlerView {
            name: class.name.clone(),
            place,
            own,
            summary: text::summary(self.descriptions.first().map(String::as_str), &self.purpose(contract)),
            answers: self.answers.clone(),
            methods: methods.collect(),
            request: request.clone(),
            response: response.clone(),
        }
    }

    /// One method of the class, or the function itself, with the body of one that is not written yet.
    fn method(&self, call: &Call, class: &str, contract: &Contract, request: &str, response: &str) -> MethodView {
        let (indent, before, name, of) = match call {
            Call::Method(name) if self.calls.len() == 1 => (4, "async def", name.as_str(), class.to_owned()),
            Call::Method(name) => (4, "async def", name.as_str(), format!("{class}.{name}")),
            Call::Function { awaited: true } => (0, "async def", class, class.to_owned()),
            Call::Function { awaited: false } => (0, "def", class, class.to_owned()),
        };
        let answers = self.answers.join(", ");
        let what = if answers.is_empty() { String::new() } else { format!(" (it answers {answers})") };
        let message = format!("{of} of {} is not written yet{what}", contract.name);
        let raise = Code::call("raise NotImplementedError", vec![Item::plain(Code::Text(message))]);
        let parameters = if indent > 0 { vec!["self"] } else { Vec::new() };
        MethodView {
            signature: signature(indent, &format!("{before} {name}"), &parameters, request, response),
            body: statement(indent + 4, "", &raise),
        }
    }

    /// The docstring of the class.
    pub(super) fn doc(&self, contract: &Contract) -> String {
        text::doc(Some(&self.descriptions.join("\n\n")), &self.purpose(contract))
    }

    fn purpose(&self, contract: &Contract) -> String {
        match self.answers.as_slice() {
            [] => format!("Does the work of {}.", contract.name),
            [one] => format!("Answers `{one}`."),
            [first, ..] => format!("Answers `{first}` and {} more.", self.answers.len() - 1),
        }
    }
}

fn signature(indent: usize, before: &str, parameters: &[&str], request: &str, response: &str) -> String {
    let margin = " ".repeat(indent);
    let request = format!("request: {request}");
    let parameters: Vec<&str> = parameters.iter().copied().chain([request.as_str()]).collect();
    let line = format!("{margin}{before}({}) -> {response}:", parameters.join(", "));
    if line.chars().count() <= COLUMNS_MAX {
        return line;
    }
    // One parameter alone ends in a comma, as the formatter writes it.
    let comma = if parameters.len() == 1 { "," } else { "" };
    let inner = format!("{margin}    {}{comma}", parameters.join(", "));
    if inner.chars().count() <= COLUMNS_MAX {
        return format!("{margin}{before}(\n{inner}\n{margin}) -> {response}:");
    }
    let lines: String = parameters.iter().map(|parameter| format!("{margin}    {parameter},\n")).collect();
    format!("{margin}{before}(\n{lines}{margin}) -> {response}:")
}

/// The key fields of an entry, as the contract writes them.
fn keys(route: &Route) -> [(&'static str, Option<&String>); 8] {
    [
        ("operation", route.operation.as_ref()),
        ("routing_key", route.routing_key.as_ref()),
        ("topic", route.topic.as_ref()),
        ("event_type", route.event_type.as_ref()),
        ("payload_type", route.payload_type.as_ref()),
        ("message_category", route.message_category.as_ref()),
        ("event_model", route.event_model.as_ref().and_then(|model| model.written.as_ref())),
        ("input_model", route.input_model.as_ref().and_then(|model| model.written.as_ref())),
    ]
}

/// The routing table.
pub(super) fn routing_view(contract: &Contract) -> RoutingView {
    let routing = &contract.routing;
    let is_used = |name: &str| {
        routing.routes.iter().any(|route| keys(route).iter().any(|(key, value)| *key == name && value.is_some()))
    };
    let fields = keys_of_any().into_iter().filter(|name| is_used(name));
    let fields = fields.map(|name| RouteFieldView { is_class: name.ends_with("_model"), name: name.to_owned() });
    let mut routes = Vec::new();
    for route in &routing.routes {
        let mut items = Vec::new();
        let key_items = keys(route).into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in key_items {
            items.push(Item::named(name, Code::Text(value.clone())));
        }
        items.push(Item::named("handler", Code::Text(route.written.clone())));
        if let Some(module) = &route.handler.module {
            items.push(Item::named("module", Code::Text(module.clone())));
        }
        routes.push(Code::call("Route", items));
    }
    RoutingView {
        strategy: routing.strategy.clone(),
        default_handler: routing.default_handler.clone(),
        fields: fields.collect(),
        routes: routes.len(),
        has_keys: routing.routes.iter().any(|route| route.keyed),
        has_functions: routing.routes.iter().any(|route| matches!(route.call, Call::Function { .. })),
        statement: statement(0, "ROUTES: Final[tuple[Route, ...]] = ", &Code::tuple(routes)),
    }
}

fn keys_of_any() -> [&'static str; 8] {
    [
        "operation",
        "routing_key",
        "topic",
        "event_type",
        "payload_type",
        "message_category",
        "event_model",
        "input_model",
    ]
}
