//! What templates see. Every name here can be used in a template pack; all are always there, empty or none where the
//! contract says nothing.

use serde::Serialize;

/// The names at the outermost level.
#[derive(Debug, Clone, Serialize)]
pub(super) struct View {
    pub(super) node: NodeView,
    /// The contract's own text.
    pub(super) contract_text: String,
    pub(super) modules: Vec<ModuleView>,
    pub(super) folders: Vec<FolderView>,
    /// Classes of other packages, in the order of their imports.
    pub(super) external: Vec<ExternalView>,
    /// `__all__` of the module that imports them, as a statement.
    pub(super) external_all: String,
    pub(super) routing: RoutingView,
    pub(super) handlers: Vec<HandlerView>,
    pub(super) models: Vec<ModelView>,
    pub(super) enums: Vec<EnumView>,
    pub(super) state_machine: Option<StateMachineView>,
    pub(super) subscribes: Vec<TopicView>,
    pub(super) publishes: Vec<TopicView>,
    /// `SUBSCRIBED` and `PUBLISHED`, laid out as statements; empty without topics.
    pub(super) topic_statements: Vec<String>,
    pub(super) operations: Vec<OperationView>,
    pub(super) dependencies: Vec<DependencyView>,
    pub(super) feature_flags: Vec<FlagView>,
    pub(super) capabilities: Vec<NoteView>,
    pub(super) error_types: Vec<NoteView>,
    pub(super) retry: Vec<NoteView>,
    pub(super) steps: Vec<StepView>,
    pub(super) tests: TestsView,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct NodeView {
    /// As the contract writes it.
    pub(super) name: String,
    pub(super) package: String,
    pub(super) class_name: String,
    /// `EFFECT`, `COMPUTE`, `REDUCER` or `ORCHESTRATOR`.
    pub(super) kind: String,
    /// The base class, with its type arguments where it has some: `NodeCompute[ModelA, ModelB]`.
    pub(super) base: String,
    /// `class Name(Base):`, laid out.
    pub(super) class_statement: String,
    pub(super) imports: Vec<Vec<String>>,
    pub(super) version: Option<String>,
    pub(super) license: Option<String>,
    /// One sentence; always there.
    pub(super) summary: String,
    /// The summary, a blank line, and what else the description says.
    pub(super) doc: String,
    pub(super) input: String,
    pub(super) output: String,
}

/// One module of the package.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ModuleView {
    /// `models/model_order.py`
    pub(super) path: String,
    pub(super) doc: String,
    /// Groups of statements; a blank line stands between two.
    pub(super) imports: Vec<Vec<String>>,
    /// The same, for type checkers only.
    pub(super) type_imports: Vec<Vec<String>>,
    pub(super) classes: Vec<ClassView>,
    /// The names for `__all__`, sorted.
    pub(super) exports: Vec<String>,
    /// `__all__` as a statement.
    pub(super) all_statement: String,
}

/// A folder of the package: what its `__init__.py` passes on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FolderView {
    pub(super) path: String,
    pub(super) doc: String,
    pub(super) imports: Vec<Vec<String>>,
    pub(super) all_statement: String,
}

/// One class; `kind` says which of the parts is there.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ClassView {
    /// `model`, `enum`, `handler`, `function` (a handler that is one) or `protocol`.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) model: Option<ModelView>,
    #[serde(rename = "enum")]
    pub(super) enumeration: Option<EnumView>,
    pub(super) handler: Option<HandlerView>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct ModelView {
    pub(super) name: String,
    /// `models.model_order`
    pub(super) module: String,
    pub(super) summary: String,
    /// `ConfigDict(...)`, laid out as a statement of the class.
    pub(super) config_statement: String,
    pub(super) fields: Vec<FieldView>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct FieldView {
    pub(super) name: String,
    /// The contract's name, where Python needs another one.
    pub(super) alias: Option<String>,
    pub(super) annotation: String,
    pub(super) required: bool,
    pub(super) description: Option<String>,
    /// The whole statement, indented for the body of the class.
    pub(super) declaration: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct EnumView {
    pub(super) name: String,
    pub(super) module: String,
    pub(super) summary: String,
    pub(super) members: Vec<MemberView>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct MemberView {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct HandlerView {
    pub(super) name: String,
    /// The file in the package, or the module of another package.
    pub(super) place: String,
    /// Whether the package has the class.
    pub(super) own: bool,
    pub(super) summary: String,
    /// What it answers, in the order of the contract.
    pub(super) answers: Vec<String>,
    pub(super) request: String,
    pub(super) response: String,
    /// The methods of the class; of a function the function itself.
    pub(super) methods: Vec<MethodView>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct MethodView {
    /// `async def handle(...) -> ...:`, laid out in its class.
    pub(super) signature: String,
    /// The `raise` statement of its body, laid out.
    pub(super) body: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct ExternalView {
    pub(super) name: String,
    pub(super) class_name: String,
    pub(super) module: String,
    /// Whether Python's own library has the module.
    pub(super) is_standard: bool,
    pub(super) import_statement: String,
    /// `Name: TypeAlias = _Name`
    pub(super) alias_statement: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct RoutingView {
    pub(super) strategy: Option<String>,
    pub(super) default_handler: Option<String>,
    /// The fields of a route that this contract uses.
    pub(super) fields: Vec<RouteFieldView>,
    pub(super) routes: usize,
    /// Whether entries name their handler by `handler_class` or `handler_key`, or by `function`.
    pub(super) has_keys: bool,
    pub(super) has_functions: bool,
    /// `ROUTES: Final[...] = (...)`, laid out.
    pub(super) statement: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct RouteFieldView {
    pub(super) name: String,
    /// Whether the contract names a class there, as text or as a mapping.
    pub(super) is_class: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct StateMachineView {
    pub(super) name: Option<String>,
    pub(super) state_class: String,
    pub(super) trigger_class: String,
    pub(super) initial: Option<String>,
    pub(super) states: Vec<StateView>,
    pub(super) triggers: Vec<MemberView>,
    pub(super) transitions: Vec<TransitionView>,
    /// The statements of the module behind its classes.
    pub(super) statements: Vec<String>,
    pub(super) exports: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct StateView {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) terminal: bool,
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct TransitionView {
    pub(super) from: String,
    pub(super) trigger: String,
    pub(super) to: String,
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct TopicView {
    pub(super) topic: String,
    pub(super) event_type: Option<String>,
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct OperationView {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct DependencyView {
    pub(super) name: String,
    pub(super) kind: Option<String>,
    pub(super) description: Option<String>,
    pub(super) required: bool,
    pub(super) env_var: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct FlagView {
    pub(super) name: String,
    pub(super) env_var: Option<String>,
    pub(super) default: Option<String>,
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct NoteView {
    pub(super) name: String,
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct StepView {
    pub(super) id: String,
    pub(super) node_type: Option<String>,
    pub(super) description: Option<String>,
    pub(super) depends_on: Vec<String>,
}

/// What the generated tests need.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TestsView {
    /// `from ..models... import ...` for the models that are built, groups of statements.
    pub(super) model_imports: Vec<Vec<String>>,
    /// `CASES: ... = [...]`: each model with its smallest value, laid out; empty where no model can be built.
    pub(super) model_cases: String,
    /// Whether one of these models needs a field, and whether one refuses fields that it does not know.
    pub(super) has_required: bool,
    pub(super) has_closed: bool,
    pub(super) handler_imports: Vec<Vec<String>>,
    /// `HANDLERS: ... = [...]`: classes of our own with a method `handle`; empty without them.
    pub(super) handler_list: String,
    /// `METHODS: ... = [...]`: classes of our own and their other methods; empty without them.
    pub(super) method_list: String,
    /// `FUNCTIONS: ... = [...]`: functions of our own that are handlers; empty without them.
    pub(super) function_list: String,
    /// Whether YAML 1.1 would read a text of the routing or state machine as something else.
    pub(super) ambiguous_yaml: bool,
}
