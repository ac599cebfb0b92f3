//! Names that are unique in one scope.

use std::collections::BTreeMap;

/// Gives out names of one scope (the modules of a folder, the names of a module), each once. Names that differ only in
/// case are the same name here: some disks cannot tell their files apart.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The number that the next name of the same kind tries first, by the folded name.
    next: BTreeMap<String, usize>,
}

impl Names {
    /// `wanted` where it is free, else `wanted_2`, `wanted_3` and so on: the same claims in the same order give the
    /// same names.
    pub fn claim(&mut self, wanted: &str) -> String {
        let folded = wanted.to_lowercase();
        let Some(&first) = self.next.get(&folded) else {
            self.next.insert(folded, 2);
            return wanted.to_owned();
        };
        let free = (first..).find(|number| !self.next.contains_key(&format!("{folded}_{number}"))).unwrap_or(first);
        self.next.insert(format!("{folded}_{free}"), 2);
        self.next.insert(folded, free + 1);
        format!("{wanted}_{free}")
    }
}
