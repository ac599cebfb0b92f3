//! `state_machine`: the states of a node, and what moves it from one to another.

use super::reader::{Reader, quoted};
use crate::diagnostic::Place;
use crate::nearest::nearest;
use crate::yaml::Node;

/// A state machine whose transitions name only states that it has.
#[derive(Debug, Clone)]
pub struct StateMachine {
    pub name: Option<String>,
    pub initial: Option<String>,
    pub states: Vec<State>,
    pub transitions: Vec<Transition>,
}

#[derive(Debug, Clone)]
pub struct State {
    pub name: String,
    pub description: Option<String>,
    pub terminal: bool,
}

#[derive(Debug, Clone)]
pub struct Transition {
    /// `*` where it leaves any state.
    pub from: String,
    pub to: String,
    pub trigger: String,
    pub description: Option<String>,
}

/// What stands for every state in `from_state`.
pub const ANY_STATE: &str = "*";

pub(super) fn state_machine(reader: &mut Reader, root: &Node) -> Option<StateMachine> {
    let section = reader.map(root, "state_machine")?;
    let mut states = states(reader, section);
    if states.is_empty() {
        return None;
    }
    for terminal in super::handlers::texts(reader, section, "terminal_states") {
        match states.iter_mut().find(|state| state.name == terminal) {
            Some(state) => state.terminal = true,
            None => unknown_state(
                reader,
                &terminal,
                section.get("terminal_states").map_or(section.place, |n| n.place),
                &states,
            ),
        }
    }
    let initial = reader.text(section, "initial_state").map(str::to_owned);
    if let (Some(initial), Some(node)) = (&initial, section.get("initial_state"))
        && !states.iter().any(|state| state.name == *initial)
    {
        unknown_state(reader, initial, node.place, &states);
    }
    let mut transitions = Vec::new();
    for entry in reader.list(section, "transitions") {
        transitions.extend(self::transitions(reader, entry, &states));
    }
    let name = reader.text(section, "state_machine_name").map(str::to_owned);
    Some(StateMachine { name, initial, states, transitions })
}

fn states(reader: &mut Reader, section: &Node) -> Vec<State> {
    let mut states: Vec<State> = Vec::new();
    for entry in reader.list(section, "states") {
        let named = entry.get("state_name").or_else(|| entry.get("name")).unwrap_or(entry);
        let Some(name) = named.text().filter(|name| !name.is_empty()) else {
            let help = "write `- state_name: pending`, in quotes where YAML would read the name as something else";
            reader.wrong_kind(named, "states[]", "the name of a state", help);
            continue;
        };
        if states.iter().any(|state| state.name == name) {
            let message = format!("the state `{}` is listed twice", quoted(name));
            reader.fault(named.place, message, "each state once", "leave one of them out");
            continue;
        }
        states.push(State {
            name: name.to_owned(),
            description: reader.words(entry, "description"),
            terminal: entry.get("is_terminal").is_some() && reader.flag(entry, "is_terminal").unwrap_or(false),
        });
    }
    states
}

/// The transitions of one entry: one for each state that it leaves.
fn transitions(reader: &mut Reader, entry: &Node, states: &[State]) -> Vec<Transition> {
    let from = super::handlers::texts(reader, entry, entry.spelled(&["from_state", "from", "source"]));
    let to = reader.text(entry, entry.spelled(&["to_state", "to", "dest", "target"]));
    let trigger = reader.text(entry, entry.spelled(&["trigger", "event"]));
    let (Some(to), Some(trigger), false) = (to, trigger, from.is_empty()) else {
        let help = "write `from_state`, `to_state` and `trigger`, each as text";
        reader.fault(entry.place, "the transition is not complete".to_owned(), "a start, an end and a trigger", help);
        return Vec::new();
    };
    let known = |name: &str| states.iter().any(|state| state.name == name);
    for name in from.iter().map(String::as_str).filter(|name| *name != ANY_STATE).chain([to]) {
        if !known(name) {
            unknown_state(reader, name, entry.place, states);
        }
    }
    let description = reader.words(entry, "description");
    let transition = |from: String| Transition {
        from,
        to: to.to_owned(),
        trigger: trigger.to_owned(),
        description: description.clone(),
    };
    from.into_iter().map(transition).collect()
}

fn unknown_state(reader: &mut Reader, name: &str, place: Place, states: &[State]) {
    let known: Vec<&str> = states.iter().map(|state| state.name.as_str()).collect();
    let help = nearest(name, &known)
        .map_or("add it to `states`, or name one that is there".to_owned(), |near| format!("did you mean `{near}`?"));
    let expected = format!("one of {}", quoted(&known.join(", ")));
    reader.fault(place, format!("the state `{}` is not among `states`", quoted(name)), &expected, &help);
}
