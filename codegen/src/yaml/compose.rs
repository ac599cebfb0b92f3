//! From the parser's events to the tree: aliases, merge keys, duplicate keys and the budgets.
//!
//! The open lists and mappings are a stack of our own, never the thread's.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::granit_parser::{Event, ScalarStyle, Tag};

use super::fault::{self, Fault};
use super::{DEPTH_MAX, Entry, INPUT_BYTES_MAX, NODES_MAX, Node, Place, Value, parser, scalar};

pub(super) fn compose(text: &str) -> Result<Node, Fault> {
    let mut composer = Composer::default();
    let mut in_document = false;
    for event in parser(text) {
        let (event, span) = event.map_err(|error| fault::syntax(&error, text))?;
        let place = fault::place(&span.start);
        match event {
            Event::DocumentStart(..) if in_document => return Err(fault::second_document(place)),
            Event::DocumentStart(..) => in_document = true,
            Event::Scalar(text, style, anchor, tag) => {
                // The parser says `~` where nothing is written.
                let text = if span.is_empty() && style == ScalarStyle::Plain { "" } else { &text };
                composer.scalar(text, style, anchor, tag.as_deref(), place)?;
            }
            Event::SequenceStart(_, anchor, _) => composer.open(Value::List(Vec::new()), anchor, place)?,
            Event::MappingStart(_, anchor, _) => composer.open(Value::Map(Vec::new()), anchor, place)?,
            Event::SequenceEnd | Event::MappingEnd => composer.close()?,
            Event::Alias(anchor) => composer.alias(anchor, place)?,
            _ => {}
        }
    }
    let nothing_written =
        text.lines().all(|line| line.starts_with(['#', '%']) || matches!(line.trim(), "" | "---" | "..."));
    match composer.root {
        Some(node) if node.value != Value::Null || !nothing_written => Ok(node),
        _ => Err(fault::empty()),
    }
}

/// A list or mapping whose end has not come yet.
struct Open {
    place: Place,
    value: Value,
    anchor: usize,
    /// The key that waits for its value; always None in a list.
    key: Option<(String, Place)>,
    /// Where in the mapping's entries a plain `<<` stands.
    merge: Option<usize>,
}

#[derive(Default)]
struct Composer {
    root: Option<Node>,
    open: Vec<Open>,
    /// By the parser's number, which begins at 1; 0 is "no anchor".
    anchors: BTreeMap<usize, (Node, Size)>,
    spent: Size,
}

/// What a tree costs. An anchor pays for its copy as an alias does, so that neither can multiply.
#[derive(Default, Clone, Copy)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Size {
    fn of(node: &Node) -> Self {
        let mut size = Self { nodes: 1, bytes: 0, depth: 0 };
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| size.add(0, item)),
            Value::Map(entries) => entries.iter().for_each(|entry| size.add(entry.key.len(), &entry.value)),
            Value::Text(text) => size.bytes = text.len(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
        }
        size
    }

    fn add(&mut self, key_bytes: usize, child: &Node) {
        let child = Self::of(child);
        self.nodes += child.nodes;
        self.bytes += key_bytes + child.bytes;
        self.depth = self.depth.max(child.depth + 1);
    }
}

impl Composer {
    /// The mapping that waits for a key, if it is one.
    fn awaits_key(&mut self) -> Option<&mut Open> {
        self.open.last_mut().filter(|open| open.key.is_none() && matches!(open.value, Value::Map(_)))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<(), Fault> {
        self.spend(Size { nodes: 1, bytes: 0, depth: 0 }, place)?;
        if let Some(open) = self.awaits_key() {
            if text.is_empty() && style == ScalarStyle::Plain {
                return Err(fault::no_key(place));
            }
            if let (Value::Map(entries), "<<", ScalarStyle::Plain) = (&open.value, text, style) {
                open.merge = Some(entries.len());
            }
            open.key = Some((text.to_owned(), place));
            if anchor != 0 {
                self.remember(anchor, &Node { place, value: Value::Text(text.to_owned()) })?;
            }
            return Ok(());
        }
        let value = scalar::resolve(text, style, tag).map_err(|expected| fault::tag(expected, place))?;
        let node = Node { place, value };
        if anchor != 0 {
            self.remember(anchor, &node)?;
        }
        self.place_node(node);
        Ok(())
    }

    fn open(&mut self, value: Value, anchor: usize, place: Place) -> Result<(), Fault> {
        self.spend(Size { nodes: 1, bytes: 0, depth: 1 }, place)?;
        if self.awaits_key().is_some() {
            return Err(fault::key_not_text(place));
        }
        self.open.push(Open { place, value, anchor, key: None, merge: None });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        // The parser ends only what it has begun.
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.value {
            Value::Map(entries) => {
                refuse_duplicates(&entries)?;
                Value::Map(if let Some(at) = open.merge { merge(entries, at)? } else { entries })
            }
            list => list,
        };
        let node = Node { place: open.place, value };
        if open.anchor != 0 {
            self.remember(open.anchor, &node)?;
        }
        self.place_node(node);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Fault> {
        let Some((_, size)) = self.anchors.get(&anchor) else { return Err(fault::alias_of_itself(place)) };
        self.spend(*size, place)?;
        let node = self.anchors[&anchor].0.clone();
        if let Some(open) = self.awaits_key() {
            let Value::Text(text) = node.value else { return Err(fault::key_not_text(place)) };
            open.key = Some((text, place));
        } else {
            self.place_node(node);
        }
        Ok(())
    }

    /// Puts a finished node where the text has it.
    fn place_node(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { value: Value::Map(entries), key, .. }) => {
                if let Some((key, key_place)) = key.take() {
                    entries.push(Entry { key, key_place, value: node });
                }
            }
            Some(Open { value: Value::List(items), .. }) => items.push(node),
            // Only lists and mappings are opened.
            Some(_) => {}
        }
    }

    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), Fault> {
        let size = Size::of(node);
        self.spend(Size { depth: 0, ..size }, node.place)?;
        self.anchors.insert(anchor, (node.clone(), size));
        Ok(())
    }

    fn spend(&mut self, size: Size, place: Place) -> Result<(), Fault> {
        self.spent.nodes = self.spent.nodes.saturating_add(size.nodes);
        self.spent.bytes = self.spent.bytes.saturating_add(size.bytes);
        if self.open.len() + size.depth > DEPTH_MAX {
            return Err(fault::too_deep(place));
        }
        if self.spent.nodes > NODES_MAX || self.spent.bytes > INPUT_BYTES_MAX {
            return Err(fault::too_many(place));
        }
        Ok(())
    }
}

fn refuse_duplicates(entries: &[Entry]) -> Result<(), Fault> {
    let mut seen = BTreeMap::new();
    for entry in entries {
        if let Some(first) = seen.insert(entry.key.as_str(), entry.key_place) {
            return Err(fault::duplicate_key(&entry.key, first, entry.key_place));
        }
    }
    Ok(())
}

/// The entries with what `<<` brings in its stead: a key that the mapping writes itself wins, then the first mapping
/// that has it.
fn merge(mut entries: Vec<Entry>, at: usize) -> Result<Vec<Entry>, Fault> {
    let merge = entries.remove(at);
    let place = merge.value.place;
    let sources = match merge.value.value {
        Value::List(items) => items.into_iter().map(|item| item.value).collect(),
        value => vec![value],
    };
    let mut taken: BTreeSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    let mut brought = Vec::new();
    for source in sources {
        let Value::Map(source) = source else { return Err(fault::merge_of_no_mapping(place)) };
        brought.extend(source.into_iter().filter(|entry| taken.insert(entry.key.clone())));
    }
    entries.splice(at..at, brought);
    Ok(entries)
}
