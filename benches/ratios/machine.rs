//! On what the figures were measured.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Cores, processor, kernel, compiler, file system, and how busy the machine was before anything ran.
pub(crate) fn describe(folder: &Path, quick: bool) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let lines = [
        format!("- machine: {cores} cores, {}", or_unknown(processor())),
        format!("- system: {} {}, {} under the files", std::env::consts::OS, kernel(), or_unknown(file_system(folder))),
        format!("- compiler: {}, release build", or_unknown(compiler())),
        format!("- busy before: load average {}", or_unknown(load)),
        format!("- omninode {}, {}", env!("CARGO_PKG_VERSION"), if quick { "a quick look" } else { "the whole" }),
        "- figures: median (least to most) of the rounds; pairs are measured in turn; a ratio above 1 means ours is better"
            .to_owned(),
    ];
    lines.join("\n")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn or_unknown(text: String) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text }
}

fn processor() -> String {
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map(|(_, model)| model.to_owned()).unwrap_or_default()
}

fn kernel() -> String {
    read("/proc/sys/kernel/osrelease").trim().to_owned()
}

fn compiler() -> String {
    let version = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output();
    version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The type of the file system that is mounted nearest above `folder`.
fn file_system(folder: &Path) -> String {
    let mounts = read("/proc/self/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(place, _)| folder.starts_with(place));
    above.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind.to_owned()).unwrap_or_default()
}
