//! The state machine of a node as Python: an enum of states, one of triggers, and the table of transitions.

use super::classes::Member;
use super::layout::{Code, Item, statement};
use super::view::{MemberView, StateMachineView, StateView, TransitionView};
use crate::contract::{ANY_STATE, StateMachine};
use crate::python::{self, Names};

/// Gives each member of an enum a name of its own.
pub(super) fn name_members(members: &mut [Member]) {
    let mut names = Names::default();
    for member in members {
        let wanted = python::identifier(&member.value).map_or_else(|| "VALUE".to_owned(), |name| name.to_uppercase());
        let wanted = match wanted.strip_prefix("N_") {
            Some(digits) if member.value.trim_start().starts_with(|c: char| c.is_numeric()) => {
                format!("VALUE_{digits}")
            }
            _ => wanted,
        };
        // A keyword has lost its capital letters, and with them what made it one.
        let bare = wanted.trim_end_matches('_');
        let wanted = if python::is_keyword(&bare.to_lowercase()) { bare.to_owned() } else { wanted };
        member.name = names.claim(&wanted).to_uppercase();
    }
}

pub(super) fn state_machine_view(machine: &StateMachine, stem: &str) -> StateMachineView {
    let table = Table {
        machine,
        state_class: format!("Enum{stem}State"),
        trigger_class: format!("Enum{stem}Trigger"),
        states: members(machine.states.iter().map(|state| state.name.as_str())),
        triggers: members(machine.transitions.iter().map(|transition| transition.trigger.as_str())),
    };
    let mut exports = vec![table.state_class.clone(), "TERMINAL_STATES".to_owned()];
    let mut statements = Vec::new();
    if let Some(initial) = &machine.initial {
        statements.push(statement(0, "INITIAL_STATE: Final = ", &table.state(initial)));
        exports.push("INITIAL_STATE".to_owned());
    }
    let before = format!("TERMINAL_STATES: Final[frozenset[{}]] = ", table.state_class);
    statements.push(statement(0, &before, &table.terminal_states()));
    if !table.triggers.is_empty() {
        statements.push(statement(0, "TRANSITIONS: Final[tuple[Transition, ...]] = ", &table.transitions()));
        exports.extend([table.trigger_class.clone(), "TRANSITIONS".to_owned(), "Transition".to_owned()]);
    }
    StateMachineView {
        name: machine.name.clone(),
        initial: machine.initial.clone(),
        states: states_view(machine, &table.states),
        triggers: table.triggers.into_iter().map(MemberView::from).collect(),
        transitions: machine.transitions.iter().map(transition_view).collect(),
        statements,
        exports: super::modules::all_statement(exports),
        state_class: table.state_class,
        trigger_class: table.trigger_class,
    }
}

/// The members of an enum for these values, each once.
fn members<'v>(values: impl Iterator<Item = &'v str>) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for value in values {
        if !members.iter().any(|member| member.value == value) {
            members.push(Member { name: String::new(), value: value.to_owned() });
        }
    }
    name_members(&mut members);
    members
}

/// A state machine and the names of its members.
struct Table<'m> {
    machine: &'m StateMachine,
    state_class: String,
    trigger_class: String,
    states: Vec<Member>,
    triggers: Vec<Member>,
}

impl Table<'_> {
    fn state(&self, value: &str) -> Code {
        member(&self.state_class, &self.states, value)
    }

    /// One row for each state that a transition leaves.
    fn transitions(&self) -> Code {
        let mut rows = Vec::new();
        for transition in &self.machine.transitions {
            let trigger = member(&self.trigger_class, &self.triggers, &transition.trigger);
            let leaves = |state: &&str| transition.from == ANY_STATE || transition.from == **state;
            for source in self.machine.states.iter().map(|state| state.name.as_str()).filter(leaves) {
                let target = self.state(&transition.to);
                let items = [("source", self.state(source)), ("trigger", trigger.clone()), ("target", target)];
                rows.push(Code::call("Transition", items.map(|(name, value)| Item::named(name, value)).to_vec()));
            }
        }
        Code::tuple(rows)
    }

    fn terminal_states(&self) -> Code {
        let terminal = self.machine.states.iter().filter(|state| state.terminal);
        let items: Vec<Item> = terminal.map(|state| Item::plain(self.state(&state.name))).collect();
        if items.is_empty() {
            return Code::atom("frozenset()");
        }
        let set = Code::Group { open: "{".to_owned(), items, close: "}" };
        Code::call("frozenset", vec![Item::plain(set)])
    }
}

/// `Class.MEMBER` for the member of that value.
fn member(class: &str, members: &[Member], value: &str) -> Code {
    let found = members.iter().find(|member| member.value == value);
    Code::atom(format!("{class}.{}", found.map_or("", |member| &member.name)))
}

fn states_view(machine: &StateMachine, members: &[Member]) -> Vec<StateView> {
    let states = machine.states.iter().zip(members);
    let view = states.map(|(state, member)| StateView {
        name: member.name.clone(),
        value: state.name.clone(),
        terminal: state.terminal,
        description: state.description.clone(),
    });
    view.collect()
}

fn transition_view(transition: &crate::contract::Transition) -> TransitionView {
    TransitionView {
        from: transition.from.clone(),
        trigger: transition.trigger.clone(),
        to: transition.to.clone(),
        description: transition.description.clone(),
    }
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self { name: member.name, value: member.value }
    }
}
