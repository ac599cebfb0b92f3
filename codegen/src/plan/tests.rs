use super::view::View;
use super::{Plan, package};
use crate::contract::Contract;
use crate::diagnostic::Diagnostic;

fn contract(text: &str) -> Contract {
    let text = format!("name: node_order_intake\nnode_type: COMPUTE\n{text}");
    Contract::read("contract.yaml", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn view(text: &str) -> View {
    package::view(&contract(text)).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn faults(text: &str) -> Vec<String> {
    let line =
        |fault: Diagnostic| format!("{}:{} {}", fault.place.unwrap().line, fault.place.unwrap().column, fault.message);
    Plan::new(&contract(text)).expect_err("should be refused").into_iter().map(line).collect()
}

fn paths(view: &View) -> Vec<&str> {
    view.modules.iter().map(|module| module.path.as_str()).collect()
}

/// The statements of the fields of the model that is called `name`.
fn fields(view: &View, name: &str) -> String {
    let model = view.models.iter().find(|model| model.name == name).unwrap();
    let fields: Vec<&str> = model.fields.iter().map(|field| field.declaration.trim()).collect();
    fields.join("\n")
}

#[test]
fn classes_live_where_the_contract_places_them_and_else_by_their_kind() {
    let view = view(
        "
input_model: {name: ModelA, module: shop.nodes.node_order_intake.models}
output_model: ModelB
handler_routing:
  handlers:
    - handler: {name: HandlerA, module: shop.nodes.node_order_intake.handlers.deep.handler_a}
      operation: a
      output_model: {name: ModelC, module: shop.nodes.node_order_intake.handlers.deep.handler_a}
    - handler: {name: HandlerB, module: shop.nodes.node_order_intake.node}
      operation: b
      input_model: {name: ModelF, module: shop.models}
",
    );
    assert_eq!(
        paths(&view),
        ["handlers/deep/handler_a.py", "handlers/handler_b.py", "models/model_a.py", "models/model_b.py"]
    );
    assert_eq!(view.modules[0].exports, ["HandlerA", "ModelC"]);
    assert_eq!(view.node.class_statement, "class NodeOrderIntake(NodeCompute[ModelA, ModelB]):");
    assert_eq!(view.external[0].import_statement, "from shop.models import ModelF as _ModelF");
    let folders: Vec<&str> = view.folders.iter().map(|folder| folder.path.as_str()).collect();
    assert_eq!(folders, ["handlers", "handlers/deep", "models"]);
}

#[test]
fn fields_are_typed_limited_defaulted_and_described() {
    let view = view(
        "
definitions:
  ModelA:
    type: object
    properties:
      id: {type: uuid, default_factory: uuid4}
      state: {type: string, enum: [new, in work], default: in work}
      sku: {type: string, min_length: 3, description: The article}
      tags: {type: array, items: {type: string}, default: [a]}
      note: {type: string}
      extra: {type: object, default: {k: 1}}
      line: {type: object, properties: {n: {type: integer, ge: 1}}, required: [n]}
    required: [sku, line]
",
    );
    assert_eq!(
        fields(&view, "ModelA"),
        "\
id: UUID = Field(default_factory=uuid4)
state: EnumAState = EnumAState.IN_WORK
sku: str = Field(min_length=3, description=\"The article\")
tags: list[str] = Field(default_factory=lambda: [\"a\"])
note: str | None = None
extra: dict[str, object] = Field(
        default_factory=lambda: dict[str, object]({\"k\": 1}),
    )
line: ModelALine"
    );
    assert_eq!(fields(&view, "ModelALine"), "n: int = Field(ge=1)");
    assert!(view.tests.model_cases.contains("(ModelA, {\"sku\": \"xxx\", \"line\": {\"n\": 1}})"));
}

#[test]
fn names_that_python_or_pydantic_keep_get_an_alias() {
    let view = view(
        "
definitions:
  ModelA:
    type: object
    properties: {class: string, json: string, _id: string, x-y: string, x_y: string, date: date, model_name: string}
    required: [class, json, _id, x-y, x_y, date, model_name]
",
    );
    assert_eq!(
        fields(&view, "ModelA"),
        "\
class_: str = Field(alias=\"class\")
json_: str = Field(alias=\"json\")
id: str = Field(alias=\"_id\")
x_y_2: str = Field(alias=\"x-y\")
x_y: str
date_: date = Field(alias=\"date\")
model_name: str"
    );
    assert!(view.models[0].config_statement.contains("populate_by_name=True"));
    assert!(view.models[0].config_statement.contains("protected_namespaces=()"));
}

#[test]
fn operations_name_the_fields_of_a_model_that_is_not_described() {
    let view = view(
        "
input_model: ModelIn
io_operations:
  - {operation: a, input_fields: [{id: UUID}, name], output_fields: [done]}
  - {operation: b, input_fields: [{id: UUID}, {at: datetime | None}]}
",
    );
    assert_eq!(fields(&view, "ModelIn"), "id: UUID\nname: object | None = None\nat: datetime | None = None");
    assert_eq!(fields(&view, "ModelOrderIntakeOutput"), "done: object | None = None");
}

#[test]
fn models_that_need_each_other_share_a_module() {
    let view = view(
        "
definitions:
  ModelA: {type: object, properties: {b: {ref: ModelB}}}
  ModelB: {type: object, properties: {a: {ref: ModelA}}}
  ModelC: {type: object, properties: {a: {ref: ModelA}}}
",
    );
    assert_eq!(paths(&view), ["models/model_a.py", "models/model_b.py", "models/model_c.py"]);
    assert_eq!(view.modules[0].classes.len(), 2);
    assert_eq!(view.modules[1].imports, [vec!["from .model_a import ModelB".to_owned()]]);
}

#[test]
fn one_class_answers_several_entries_and_takes_what_any_of_them_takes() {
    let view = view(
        "
handler_routing:
  handlers:
    - {handler: HandlerA, operation: a, input_model: ModelX, output_model: ModelR}
    - {handler: HandlerA, operation: b, input_model: ModelY, output_model: ModelR}
",
    );
    assert_eq!(view.handlers.len(), 1);
    assert_eq!(view.handlers[0].answers, ["a", "b"]);
    assert_eq!(
        view.handlers[0].methods[0].signature,
        "    async def handle(self, request: ModelX | ModelY) -> ModelR:"
    );
    assert_eq!(view.routing.routes, 2);
}

#[test]
fn a_handler_may_be_a_function_or_named_by_keys_with_its_method() {
    let view = view(
        "
handler_routing:
  handlers:
    - handler: {function: take_in, module: shop.nodes.node_order_intake.handlers, type: async}
      operation: a
    - {operation: b, handler: {name: weigh, function: weigh, type: sync}}
    - {operation: c, handler_class: HandlerC, handler_module: shop.nodes.node_order_intake.handlers.handler_c}
    - {routing_key: on_tick, handler_key: HandlerD.on_tick}
    - {routing_key: on_stop, handler_key: HandlerD.on_stop}
    - {operation: e, handler: {name: HandlerE, function: run}}
",
    );
    let signatures: Vec<&str> = view
        .handlers
        .iter()
        .flat_map(|handler| handler.methods.iter().map(|method| method.signature.as_str()))
        .collect();
    assert_eq!(
        signatures,
        [
            "async def take_in(request: object) -> object:",
            "def weigh(request: object) -> object:",
            "    async def handle(self, request: object) -> object:",
            "    async def on_tick(self, request: object) -> object:",
            "    async def on_stop(self, request: object) -> object:",
            "    async def run(self, request: object) -> object:",
        ]
    );
    assert!(view.routing.statement.contains("handler=\"HandlerD.on_tick\""), "{}", view.routing.statement);
    assert_eq!(view.tests.handler_list, "HANDLERS: list[Any] = [HandlerC]");
    assert_eq!(view.tests.function_list, "FUNCTIONS: list[Any] = [take_in, weigh]");
    assert!(view.tests.method_list.contains("(HandlerE, \"run\")"), "{}", view.tests.method_list);
}

#[test]
fn equal_class_names_are_kept_apart() {
    let view = view(
        "
handler_routing:
  handlers:
    - handler: HandlerA
      operation: a
      input_model: {name: ModelX, module: one}
      output_model: {name: ModelX, module: two}
",
    );
    let names: Vec<&str> = view.external.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["ModelX", "ModelX_2"]);
    assert!(view.handlers[0].methods[0].signature.ends_with("request: ModelX) -> ModelX_2:"));
}

#[test]
fn states_and_triggers_become_enums_and_a_table() {
    let view = view(
        "
state_machine:
  initial_state: not paid
  states: [not paid, {state_name: paid, is_terminal: true}]
  transitions: [{from_state: '*', to_state: paid, trigger: '1 payment'}]
",
    );
    let machine = view.state_machine.unwrap();
    assert_eq!((machine.states[0].name.as_str(), machine.triggers[0].name.as_str()), ("NOT_PAID", "VALUE_1_PAYMENT"));
    assert_eq!(machine.statements[0], "INITIAL_STATE: Final = EnumOrderIntakeState.NOT_PAID");
    assert_eq!(machine.statements[2].matches("Transition(").count(), 2);
}

#[test]
fn what_would_be_a_guess_is_refused_with_its_place() {
    let text = "
definitions:
  ModelA:
    type: object
    properties:
      a: {ref: ModelLin}
      b: {type: integer, default: many}
      c: {type: integer, default_factory: uuid4}
      d: {ref: loop}
  ModelLine: {type: object}
  loop: {ref: loop}
handler_routing:
  handlers:
    - {handler: HandlerA, operation: a, input_model: BaseModel}
    - {handler: {name: HandlerB, module: a.node_order_intake.handlers.class}, operation: b}
";
    assert_eq!(
        faults(text),
        [
            "8:16 `ModelLin` is not defined",
            "9:35 the default of `b` is not of its type",
            "10:43 the default factory `uuid4` does not make values of `int`",
            "13:15 the definition `loop` leads back to itself",
            "16:54 a class of this node cannot be called `BaseModel`",
            "17:42 `class` cannot be the name of a Python module",
        ]
    );
}

#[test]
fn the_same_contract_gives_the_same_plan() {
    let text = "input_model: ModelIn\noutput_model: a.b.ModelOut\n";
    let plans = [0, 1].map(|_| Plan::new(&contract(text)).unwrap());
    assert_eq!(plans[0].context.to_string(), plans[1].context.to_string());
    assert_eq!(plans[0].package, "node_order_intake");
    assert!(plans[0].contract_text.ends_with(text));
}
