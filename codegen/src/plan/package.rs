//! One package from one contract: the steps of planning in their order.

use std::collections::BTreeSet;

use super::classes::{Body, ClassId, Classes, Home, Role};
use super::handlers;
use super::imports::{Imports, laid_out};
use super::layout::{COLUMNS_MAX, Code, statement};
use super::machine;
use super::mentions::mentioned;
use super::models::{Models, pascal};
use super::modules::{self, Parts};
use super::operations::{self, NodeTypes};
use super::text;
use super::types::{Scope, Type};
use super::values::Samples;
use super::view::{
    DependencyView, ExternalView, FlagView, NodeView, NoteView, OperationView, StepView, TestsView, TopicView, View,
};
use super::{cycles, view};
use crate::contract::{Contract, IoField, NodeKind, Note, Topic};
use crate::diagnostic::Diagnostic;
use crate::python;

/// Plans the package of one contract.
pub(super) fn view(contract: &Contract) -> Result<View, Vec<Diagnostic>> {
    let Some(package) = python::package_name(&contract.name) else {
        let message = format!("`{}` cannot be made the name of a Python package", contract.name);
        let fault = Diagnostic::new(&contract.file, Some(contract.name_place), message);
        let help = "a name in small letters, for example `name: node_order_intake_effect`";
        return Err(vec![fault.expected("a name with letters").help(help)]);
    };
    let stem = stem(&contract.name);
    let node_class = format!("Node{stem}");
    let classes = Classes::new(contract, &package, &node_class, &mentioned(contract));
    let mut models = Models::new(contract, classes);
    let types = operations::node_types(&mut models, &stem);
    for named in &contract.further_models {
        models.type_of_use(named, &stem);
    }
    let handlers = handlers::handlers(&mut models, &types, &stem);
    protocols(&mut models);
    let Models { mut classes, mut faults, .. } = models;
    for id in classes.ids() {
        if let Body::Enum(members) = &mut classes.get_mut(id).body {
            machine::name_members(members);
        }
    }
    let passing = cycles::dissolve(&mut classes);
    let parts = Parts { contract, classes: &classes, handlers: &handlers, passing: &passing };
    let (modules, folders) = modules::modules(&parts, &mut faults);
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.place);
        faults.dedup();
        return Err(faults);
    }
    let node = node_view(contract, package, node_class, &types, &classes);
    let external = external(&used_types(&parts, &types), &classes);
    Ok(assemble(&parts, node, &stem, modules, folders, external))
}

/// What the node's own classes are named after: `node_order_intake` is `OrderIntake`.
fn stem(name: &str) -> String {
    let stem = pascal(name);
    stem.strip_prefix("Node").filter(|rest| rest.starts_with(char::is_uppercase)).map_or(stem.clone(), str::to_owned)
}

/// The protocols among the dependencies that the contract places inside this node.
fn protocols(models: &mut Models<'_>) {
    for dependency in &models.contract.dependencies {
        let Some(class) = &dependency.class else { continue };
        if !models.classes.is_own(class) || !class.name.starts_with("Protocol") {
            continue;
        }
        match models.classes.named(class, Role::Protocol, &models.contract.file) {
            Ok(id) => models.classes.get_mut(id).description.clone_from(&dependency.description),
            Err(fault) => models.faults.push(fault),
        }
    }
}

fn assemble(
    parts: &Parts,
    node: NodeView,
    stem: &str,
    modules: Vec<view::ModuleView>,
    folders: Vec<view::FolderView>,
    external: Vec<ExternalView>,
) -> View {
    let contract = parts.contract;
    let here = ["tests".to_owned(), "test".to_owned()];
    let scope = Scope { classes: parts.classes, here: &here };
    let classes = modules.iter().flat_map(|module| &module.classes);
    let state_machine = contract.state_machine.as_ref().map(|machine| machine::state_machine_view(machine, stem));
    View {
        models: classes.clone().filter_map(|class| class.model.clone()).collect(),
        enums: classes.filter_map(|class| class.enumeration.clone()).collect(),
        handlers: parts.handlers.iter().map(|handler| handler.view(contract, &scope)).collect(),
        external_all: modules::all_statement(external.iter().map(|entry| entry.name.clone()).collect()),
        external,
        routing: handlers::routing_view(contract),
        tests: tests_view(parts, &scope),
        state_machine,
        subscribes: topics(&contract.subscribes),
        publishes: topics(&contract.publishes),
        topic_statements: topic_statements(contract),
        operations: operations_view(contract),
        dependencies: dependencies(contract),
        feature_flags: flags(contract),
        capabilities: notes(&contract.capabilities),
        error_types: notes(&contract.error_types),
        retry: retry(contract),
        steps: steps(contract),
        contract_text: contract.text.clone(),
        node,
        modules,
        folders,
    }
}

fn node_view(
    contract: &Contract,
    package: String,
    class_name: String,
    types: &NodeTypes,
    classes: &Classes,
) -> NodeView {
    let (base, module) = match contract.kind {
        NodeKind::Effect => ("NodeEffect", "omnibase_core.nodes.node_effect"),
        NodeKind::Compute => ("NodeCompute", "omnibase_core.nodes.node_compute"),
        NodeKind::Reducer => ("NodeReducer", "omnibase_core.nodes.node_reducer"),
        NodeKind::Orchestrator => ("NodeOrchestrator", "omnibase_core.nodes.node_orchestrator"),
    };
    let here = ["node".to_owned()];
    let scope = Scope { classes, here: &here };
    let mut imports = Imports::default();
    imports.add(module, base);
    let (input_name, output_name) = (types.input.expression(&scope), types.output.expression(&scope));
    let (input, output) = (inner(&types.input, classes), inner(&types.output, classes));
    let base = if matches!(contract.kind, NodeKind::Compute | NodeKind::Reducer) {
        input.import_into(&scope, &mut imports);
        output.import_into(&scope, &mut imports);
        format!("{base}[{}, {}]", input.expression(&scope), output.expression(&scope))
    } else {
        base.to_owned()
    };
    let otherwise = format!("The {} node {}.", contract.kind.as_str().to_lowercase(), contract.name);
    NodeView {
        name: contract.name.clone(),
        package,
        kind: contract.kind.as_str().to_owned(),
        class_statement: class_statement(&class_name, &base),
        base,
        class_name,
        imports: imports.groups(&here, 0),
        version: contract.version.clone(),
        license: contract.license.clone(),
        summary: text::summary(contract.description.as_deref(), &otherwise),
        doc: text::doc(contract.description.as_deref(), &otherwise),
        input: input_name,
        output: output_name,
    }
}

/// What the node's base class is given as a type argument. It wraps that in the library's own input and output classes,
/// so a contract that names one of these says nothing about what is inside.
fn inner(kind: &Type, classes: &Classes) -> Type {
    const WRAPPERS: [&str; 4] = ["ModelComputeInput", "ModelComputeOutput", "ModelReducerInput", "ModelReducerOutput"];
    let (bare, _) = kind.split_limits();
    match &bare {
        Type::Class(id) => match &classes.get(*id).home {
            Home::Foreign(_) if WRAPPERS.contains(&classes.get(*id).name.as_str()) => Type::Any,
            _ => bare,
        },
        _ => bare,
    }
}

/// `class Name(Base):`, with the type arguments on lines of their own where it is too wide.
fn class_statement(name: &str, base: &str) -> String {
    let line = format!("class {name}({base}):");
    if line.chars().count() <= COLUMNS_MAX {
        return line;
    }
    if base.chars().count() + 4 <= COLUMNS_MAX {
        return format!("class {name}(\n    {base}\n):");
    }
    match base.split_once('[') {
        Some((base, arguments)) if !arguments.trim_end_matches(']').contains(['[', '"', '\'']) => {
            let arguments = arguments.trim_end_matches(']').replace(", ", ",\n        ");
            format!("class {name}(\n    {base}[\n        {arguments},\n    ]\n):")
        }
        _ => format!("class {name}(\n    {base}\n):"),
    }
}

/// The classes that the package's modules name as types.
fn used_types(parts: &Parts, types: &NodeTypes) -> BTreeSet<ClassId> {
    let mut used = BTreeSet::new();
    let mut add = |id: ClassId| _ = used.insert(id);
    for id in parts.classes.ids() {
        cycles::for_each_needed(parts.classes, id, &mut add);
    }
    for handler in parts.handlers.iter().filter(|handler| handler.is_own(parts.classes)) {
        handler.request.for_each_class(&mut add);
        handler.response.for_each_class(&mut add);
    }
    if matches!(parts.contract.kind, NodeKind::Compute | NodeKind::Reducer) {
        inner(&types.input, parts.classes).for_each_class(&mut add);
        inner(&types.output, parts.classes).for_each_class(&mut add);
    }
    used
}

/// The classes of other packages, sorted as their imports are.
fn external(used: &BTreeSet<ClassId>, classes: &Classes) -> Vec<ExternalView> {
    let foreign = used.iter().filter_map(|id| match &classes.get(*id).home {
        Home::Foreign(module) => Some((module.clone(), classes.get(*id))),
        Home::Own(_) => None,
    });
    let view = foreign.map(|(module, class)| {
        let line = laid_out(&module, &[&format!("{} as _{}", class.name, class.alias)], 4);
        let mut alias_statement = format!("{0}: TypeAlias = _{0}", class.alias);
        if alias_statement.chars().count() + 4 > COLUMNS_MAX {
            alias_statement = format!("{0}: TypeAlias = (\n    _{0}\n)", class.alias);
        }
        ExternalView {
            name: class.alias.clone(),
            class_name: class.name.clone(),
            is_standard: python::is_standard_module(&module),
            module,
            import_statement: line,
            alias_statement,
        }
    });
    let mut views: Vec<ExternalView> = view.collect();
    views.sort_by(|one, other| {
        (!one.is_standard, &one.module, &one.class_name).cmp(&(!other.is_standard, &other.module, &other.class_name))
    });
    views
}

fn topics(topics: &[Topic]) -> Vec<TopicView> {
    let view = |topic: &Topic| TopicView {
        topic: topic.topic.clone(),
        event_type: topic.event_type.clone(),
        description: topic.description.clone(),
    };
    topics.iter().map(view).collect()
}

fn topic_statements(contract: &Contract) -> Vec<String> {
    let lists = [("SUBSCRIBED", &contract.subscribes), ("PUBLISHED", &contract.publishes)];
    if lists.iter().all(|(_, topics)| topics.is_empty()) {
        return Vec::new();
    }
    let written = lists.into_iter().map(|(name, topics)| {
        let topics = topics.iter().map(|topic| Code::Text(topic.topic.clone())).collect();
        statement(0, &format!("{name}: Final[tuple[str, ...]] = "), &Code::tuple(topics))
    });
    written.collect()
}

fn operations_view(contract: &Contract) -> Vec<OperationView> {
    let names = |fields: &[IoField]| fields.iter().map(|field| field.name.clone()).collect();
    let named = contract.operations.iter().filter_map(|operation| {
        Some(OperationView {
            name: operation.name.clone()?,
            description: operation.description.clone(),
            inputs: names(&operation.inputs),
            outputs: names(&operation.outputs),
        })
    });
    named.collect()
}

fn dependencies(contract: &Contract) -> Vec<DependencyView> {
    let view = contract.dependencies.iter().map(|dependency| DependencyView {
        name: dependency.name.clone(),
        kind: dependency.kind.clone(),
        description: dependency.description.clone(),
        required: dependency.required,
        env_var: dependency.env_var.clone(),
    });
    view.collect()
}

fn flags(contract: &Contract) -> Vec<FlagView> {
    let view = contract.feature_flags.iter().map(|flag| FlagView {
        name: flag.name.clone(),
        env_var: flag.env_var.clone(),
        default: flag.default.clone(),
        description: flag.description.clone(),
    });
    view.collect()
}

fn notes(notes: &[Note]) -> Vec<NoteView> {
    notes.iter().map(|note| NoteView { name: note.name.clone(), description: note.description.clone() }).collect()
}

fn retry(contract: &Contract) -> Vec<NoteView> {
    let Some(retry) = &contract.retry else { return Vec::new() };
    let note = |name: &str, number: Option<i128>, unit: &str| {
        number.map(|number| NoteView { name: name.to_owned(), description: Some(format!("{number}{unit}")) })
    };
    let notes = [
        note("retries", retry.max_retries, ""),
        note("first delay", retry.initial_delay_ms, " ms"),
        note("longest delay", retry.max_delay_ms, " ms"),
    ];
    notes.into_iter().flatten().collect()
}

fn steps(contract: &Contract) -> Vec<StepView> {
    let view = contract.steps.iter().map(|step| StepView {
        id: step.id.clone(),
        node_type: step.node_type.clone(),
        description: step.description.clone(),
        depends_on: step.depends_on.clone(),
    });
    view.collect()
}

fn tests_view(parts: &Parts, scope: &Scope) -> TestsView {
    let mut samples = Samples::new(parts.classes);
    let mut imports = Imports::default();
    let mut cases = Vec::new();
    let (mut has_required, mut has_closed) = (false, false);
    for id in parts.classes.ids() {
        let Body::Model(model) = &parts.classes.get(id).body else { continue };
        let Some(sample) = samples.model(id, model) else { continue };
        scope.import(id, &mut imports);
        has_required |= model.fields.iter().any(|field| field.required);
        has_closed |= model.extra == crate::contract::schema::Extra::Forbid;
        cases.push(Code::tuple(vec![Code::atom(scope.name(id)), sample]));
    }
    let mut handler_imports = Imports::default();
    let (mut handlers, mut methods, mut functions) = (Vec::new(), Vec::new(), Vec::new());
    for handler in parts.handlers.iter().filter(|handler| handler.is_own(parts.classes)) {
        scope.import(handler.class, &mut handler_imports);
        let name = || Code::atom(scope.name(handler.class));
        if handler.is_function() {
            functions.push(name());
        }
        for method in handler.methods() {
            match method {
                "handle" => handlers.push(name()),
                method => methods.push(Code::tuple(vec![name(), Code::Text(method.to_owned())])),
            }
        }
    }
    let list = |before: &str, items: Vec<Code>| {
        if items.is_empty() { String::new() } else { statement(0, before, &Code::list(items)) }
    };
    TestsView {
        model_imports: imports.groups(scope.here, 0),
        model_cases: list("CASES: list[tuple[type[BaseModel], dict[str, Any]]] = ", cases),
        has_required,
        has_closed,
        handler_imports: handler_imports.groups(scope.here, 0),
        handler_list: list("HANDLERS: list[Any] = ", handlers),
        method_list: list("METHODS: list[tuple[Any, str]] = ", methods),
        function_list: list("FUNCTIONS: list[Any] = ", functions),
        ambiguous_yaml: is_ambiguous(parts.contract),
    }
}

/// Whether a text that a generated test compares could be something else to a YAML 1.1 reader.
fn is_ambiguous(contract: &Contract) -> bool {
    let of_routes = contract.routing.routes.iter().flat_map(|route| {
        [&route.operation, &route.topic, &route.event_type, &route.payload_type, &route.message_category]
    });
    let machine = contract.state_machine.iter();
    let states = machine.clone().flat_map(|machine| machine.states.iter().map(|state| &state.name));
    let moves = machine.flat_map(|machine| {
        machine.transitions.iter().flat_map(|transition| [&transition.from, &transition.to, &transition.trigger])
    });
    let words = ["true", "false", "yes", "no", "on", "off", "null", "~", "<<", "="];
    let mut texts = of_routes.flatten().chain(states).chain(moves);
    texts.any(|text| {
        words.contains(&text.to_lowercase().as_str())
            || text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
    })
}
