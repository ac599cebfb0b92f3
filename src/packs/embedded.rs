//! The packs in the binary: every file of `templates/`, as a test makes sure.

/// Lists the files of a pack with their texts.
macro_rules! pack {
    ($name:literal: $($file:literal),* $(,)?) => {
        ($name, &[$(($file, include_str!(concat!("../../templates/", $name, "/", $file)))),*])
    };
}

type Files = &'static [(&'static str, &'static str)];

/// Name and files of each pack.
pub(super) const PACKS: &[(&str, Files)] = &[pack!("onex":
    "README.md.j2",
    "contract.yaml.j2",
    "enum.py.j2",
    "external.py.j2",
    "folder.py.j2",
    "function.py.j2",
    "handler.py.j2",
    "header.j2",
    "init.py.j2",
    "model.py.j2",
    "module.py.j2",
    "node.py.j2",
    "pack.yaml",
    "protocol.py.j2",
    "routing.py.j2",
    "state_machine.py.j2",
    "tests/contract.py.j2",
    "tests/init.py.j2",
    "tests/test_handlers.py.j2",
    "tests/test_models.py.j2",
    "tests/test_node.py.j2",
    "tests/test_routing.py.j2",
    "tests/test_state_machine.py.j2",
    "topics.py.j2",
)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_every_pack_is_in_the_binary() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut found = Vec::new();
        for entry in ignore::WalkBuilder::new(&root).build().flatten().filter(|entry| entry.path().is_file()) {
            found.push(entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
        }
        found.sort();
        let mut listed: Vec<_> = PACKS
            .iter()
            .flat_map(|(pack, files)| files.iter().map(move |(file, _)| format!("{pack}/{file}")))
            .collect();
        listed.sort();
        assert_eq!(listed, found);
    }
}
