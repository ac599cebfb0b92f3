//! Models that need each other live in one module: Python cannot import in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::classes::{Body, ClassId, Classes, Home};

/// A module that only passes on classes which live elsewhere: its path, and the classes.
pub(super) type Passing = BTreeMap<Vec<String>, Vec<ClassId>>;

/// Moves the classes of modules that import each other into the first of them; the others pass them on.
pub(super) fn dissolve(classes: &mut Classes) -> Passing {
    let mut modules: Vec<Vec<String>> = Vec::new();
    let mut members: BTreeMap<Vec<String>, Vec<ClassId>> = BTreeMap::new();
    for id in classes.ids() {
        if let Home::Own(module) = &classes.get(id).home {
            let known = members.entry(module.clone()).or_default();
            if known.is_empty() {
                modules.push(module.clone());
            }
            known.push(id);
        }
    }
    let index: BTreeMap<&Vec<String>, usize> = modules.iter().enumerate().map(|(at, module)| (module, at)).collect();
    let needs: Vec<BTreeSet<usize>> = modules
        .iter()
        .map(|module| {
            let mut needed = BTreeSet::new();
            for id in &members[module] {
                for_each_needed(classes, *id, &mut |other| {
                    if let Home::Own(there) = &classes.get(other).home
                        && there != module
                    {
                        needed.extend(index.get(there));
                    }
                });
            }
            needed
        })
        .collect();
    let mut passing = Passing::new();
    for circle in circles(&needs) {
        let [first, others @ ..] = circle.as_slice() else { continue };
        for other in others {
            let moved = &members[&modules[*other]];
            for id in moved {
                classes.relocate(*id, &modules[*first]);
            }
            passing.insert(modules[*other].clone(), moved.clone());
        }
    }
    passing
}

/// Calls `f` for the classes that the fields of a model name.
pub(super) fn for_each_needed(classes: &Classes, id: ClassId, f: &mut impl FnMut(ClassId)) {
    if let Body::Model(model) = &classes.get(id).body {
        model.fields.iter().for_each(|field| field.kind.for_each_class(f));
    }
}

/// The groups of nodes that reach each other, each sorted (Kosaraju's algorithm, without recursion).
fn circles(needs: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut order = Vec::new();
    let mut seen = vec![false; needs.len()];
    for start in 0..needs.len() {
        let mut stack = vec![(start, false)];
        while let Some((node, done)) = stack.pop() {
            if done {
                order.push(node);
            } else if !std::mem::replace(&mut seen[node], true) {
                stack.push((node, true));
                stack.extend(needs[node].iter().filter(|next| !seen[**next]).map(|next| (*next, false)));
            }
        }
    }
    let mut needed_by = vec![Vec::new(); needs.len()];
    for (node, needed) in needs.iter().enumerate() {
        needed.iter().for_each(|other| needed_by[*other].push(node));
    }
    let mut circles = Vec::new();
    let mut taken = vec![false; needs.len()];
    for start in order.into_iter().rev() {
        let mut circle = Vec::new();
        let mut stack = vec![start];
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut taken[node], true) {
                circle.push(node);
                stack.extend(needed_by[node].iter().filter(|next| !taken[**next]));
            }
        }
        circle.sort_unstable();
        if circle.len() > 1 {
            circles.push(circle);
        }
    }
    circles.sort_unstable();
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nodes_that_reach_each_other_are_a_circle() {
        let needs: Vec<BTreeSet<usize>> =
            [vec![1], vec![2], vec![0, 3], vec![4], vec![3], vec![5]].into_iter().map(BTreeSet::from_iter).collect();
        assert_eq!(circles(&needs), [vec![0, 1, 2], vec![3, 4]]);
    }
}
