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
    "pack.yaml",
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
