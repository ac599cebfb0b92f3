use super::schema::{Extra, Shape};
use super::*;

fn read(text: &str) -> Contract {
    Contract::read("contract.yaml", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// The faults as `line:column message`.
fn faults(text: &str) -> Vec<String> {
    let faults = Contract::read("contract.yaml", text.as_bytes()).expect_err("should be refused");
    assert!(faults.iter().all(|fault| !fault.help.is_empty()), "{faults:#?}");
    let line = |fault: &Diagnostic| match fault.place {
        Some(place) => format!("{}:{} {}", place.line, place.column, fault.message),
        None => fault.message.clone(),
    };
    faults.iter().map(line).collect()
}

#[test]
fn a_kind_is_the_first_word_of_the_node_type_in_any_case() {
    for (text, kind) in [
        ("EFFECT_GENERIC", NodeKind::Effect),
        ("compute", NodeKind::Compute),
        ("Reducer-Generic", NodeKind::Reducer),
        ("orchestrator_generic", NodeKind::Orchestrator),
    ] {
        assert_eq!(read(&format!("name: n\nnode_type: {text}\n")).kind, kind);
    }
}

#[test]
fn what_is_no_node_contract_is_told_so() {
    assert_eq!(faults("- a\n- b\n"), ["1:1 not a node contract: the document is a list"]);
    assert_eq!(faults("on: push\njobs: {}\n"), ["1:1 not a node contract: it has no `node_type`"]);
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let text = "\
name: ''
node_type: EFECT
contract_version: 1.0
handler_routing:
  handlers: HandlerA
definitions:
  - ModelA
io_operations:
  - operation: 3
state_machine:
  initial_state: idel
  states: [idle, busy]
  transitions:
    - {from_state: idle, to_state: bussy, trigger: go}
    - {from_state: idle}
";
    assert_eq!(
        faults(text),
        [
            "1:7 the node's name is empty",
            "2:12 unknown node type `EFECT`",
            "3:19 `contract_version` is `1`, not a version",
            "5:13 `handlers` is text",
            "9:16 `operation` is a number",
            "7:3 `definitions` is a list",
            "11:18 the state `idel` is not among `states`",
            "14:7 the state `bussy` is not among `states`",
            "15:7 the transition is not complete",
        ]
    );
}

#[test]
fn a_name_that_cannot_be_a_folder_is_refused() {
    for name in ["a/b", "a\\\\b", ".hidden", "...", "\\u0007", "--", &"x".repeat(101)] {
        assert_eq!(faults(&format!("name: \"{name}\"\nnode_type: EFFECT\n")).len(), 1, "{name}");
    }
    assert_eq!(read("node_name: 3d render\nnode_type: EFFECT\n").name, "3d render");
    assert_eq!(faults("node_type: EFFECT\n"), ["1:1 the contract has no `name`"]);
}

#[test]
fn a_version_is_read_from_a_mapping_or_a_text() {
    let version = |text: &str| read(&format!("name: n\nnode_type: EFFECT\n{text}\n")).version;
    assert_eq!(version("contract_version: {major: 1, minor: 2, patch: 3}").as_deref(), Some("1.2.3"));
    assert_eq!(version("node_version: \"0.1.0-beta\"").as_deref(), Some("0.1.0-beta"));
    assert_eq!(version("x: y"), None);
}

#[test]
fn a_model_is_named_by_a_mapping_a_path_a_class_or_a_type() {
    let text = "\
name: n
node_type: EFFECT
input_model: {name: ModelA, module: a.b, description: d}
output_model: a.b.ModelB
handler_routing:
  handlers:
    - handler: HandlerX
      operation: x
      input_model: ModelC
      output_model: list[ModelD] | None
";
    let contract = read(text);
    let class = |named: &Option<ModelUse>| named.as_ref().and_then(|named| named.class().cloned()).unwrap();
    assert_eq!(class(&contract.input_model).module.as_deref(), Some("a.b"));
    assert_eq!(
        (class(&contract.output_model).name.as_str(), class(&contract.output_model).module),
        ("ModelB", Some("a.b".into()))
    );
    let route = &contract.routing.routes[0];
    assert_eq!((route.handler.name.as_str(), class(&route.input_model).module), ("HandlerX", None));
    assert!(matches!(&route.output_model.as_ref().unwrap().shape, Shape::Union(members) if members.len() == 2));
}

#[test]
fn definitions_are_read_in_the_words_of_json_schema_and_of_pydantic() {
    let text = "\
name: n
node_type: EFFECT
definitions:
  ModelA:
    type: object
    extra: allow
    properties:
      a: {type: array, item_type: string, minItems: 1}
      b: {type: [integer, 'null'], minimum: 0, maximum: 9}
      c: {type: object, value_type: integer}
      d: {$ref: '#/definitions/ModelB', nullable: true}
      e: {type: string, format: date-time}
      f: {enum: [x, y, null]}
      g: 'dict[str, UUID | None]'
    required: [a]
  ModelB: {description: empty}
  progress: {name: ModelP, module: a.b}
";
    let contract = read(text);
    let Shape::Fields(object) = &contract.definitions[0].schema.shape else { panic!("not an object") };
    assert_eq!(object.extra, Extra::Allow);
    let schema = |at: usize| &object.properties[at].schema;
    assert!(object.properties[0].required && !object.properties[1].required);
    assert_eq!(schema(0).limits.min_length, Some(1));
    assert!(schema(1).nullable && schema(1).shape == Shape::Int && schema(1).limits.le.is_some());
    assert!(matches!(&schema(2).shape, Shape::Dict { value, .. } if value.shape == Shape::Int));
    assert!(schema(3).nullable && schema(3).shape == Shape::Definition("ModelB".into()));
    assert_eq!(schema(4).shape, Shape::DateTime);
    assert!(schema(5).nullable && matches!(&schema(5).shape, Shape::Choice { values, .. } if values.len() == 2));
    assert!(matches!(&schema(6).shape, Shape::Dict { value, .. } if value.nullable));
    assert!(matches!(&contract.definitions[1].schema.shape, Shape::Fields(_)));
    assert!(matches!(&contract.definitions[2].schema.shape, Shape::Class(class) if class.name == "ModelP"));
}

#[test]
fn faults_in_definitions_say_what_is_meant() {
    let text = "\
name: n
node_type: EFFECT
definitions:
  ModelA:
    type: object
    properties:
      a: {type: strng}
      b: {type: string, pattern: '(?=x)'}
      c: {type: integer, ge: 9, le: 3}
      d: {type: enum}
      e: [1]
      f: {type: integer, ge: low}
    required: [aa]
    extra: maybe
";
    assert_eq!(
        faults(text),
        [
            "7:17 unknown type `strng`",
            "8:34 the pattern `(?=x)` looks around itself",
            "9:10 no value is within these limits",
            "10:17 the type is `enum`, and nothing says which",
            "11:10 `schema` is a list",
            "12:30 `ge` is text",
            "13:16 `aa` is required and not among the properties",
            "14:12 `extra` is not one of Pydantic's words",
        ]
    );
}

#[test]
fn the_text_is_kept_as_it_is_but_for_a_byte_order_mark() {
    let text = "\u{feff}name: n # ä\r\nnode_type: EFFECT\r\n\r\n";
    assert_eq!(read(text).text, &text[3..]);
}
