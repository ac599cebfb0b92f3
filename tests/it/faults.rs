//! Each kind of fault in a contract: a clear message that names file and place, the documented exit code, the other
//! contracts generated, nothing half-written, no panic.

use crate::support::{Bench, contract, packages};

/// Generates a faulty contract beside a good one; what is said must hold all of `says`.
#[track_caller]
fn refused(content: impl AsRef<[u8]>, says: &[&str]) {
    let bench = Bench::new();
    bench.write("contracts/good/contract.yaml", contract("node_good_compute"));
    bench.write("contracts/bad/contract.yaml", content);
    check(&bench, says);
}

#[track_caller]
fn check(bench: &Bench, says: &[&str]) {
    let ended = bench.generate([bench.path("contracts")]).expect_code(1);
    for part in says {
        assert!(ended.stderr.contains(part), "`{part}` is missing in\n{}", ended.stderr);
    }
    assert!(ended.stderr.contains("bad/contract.yaml"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panic"), "{}", ended.stderr);
    assert!(ended.stderr.contains("help: "), "{}", ended.stderr);
    assert_eq!(packages(&bench.out()), ["node_good_compute"]);
    assert!(!bench.out().join(".omninode").exists(), "nothing is left lying about");
}

#[test]
fn broken_yaml() {
    refused("name: node_x\nnode_type: [COMPUTE\ndescription: x\n", &["bad/contract.yaml:"]);
    refused("name: node_x\n\tnode_type: COMPUTE\n", &["bad/contract.yaml:2"]);
}

#[test]
fn a_wrong_type() {
    refused("name: node_x\nnode_type: [COMPUTE]\n", &["bad/contract.yaml:2:12", "a list", "node_type"]);
    refused(
        "name: node_x\nnode_type: COMPUTE\nhandler_routing: yes please\n",
        &["bad/contract.yaml:3", "handler_routing"],
    );
}

#[test]
fn a_missing_or_empty_name() {
    refused("node_type: COMPUTE\n", &["name"]);
    refused("name: ''\nnode_type: COMPUTE\n", &["name"]);
}

#[test]
fn an_unknown_node_type_with_its_place_and_what_is_known() {
    refused(
        "name: node_x\nnode_type: WIDGET\n",
        &["bad/contract.yaml:2:12", "WIDGET", "EFFECT", "COMPUTE", "REDUCER", "ORCHESTRATOR"],
    );
}

#[test]
fn all_faults_of_a_contract_at_once() {
    refused(
        "name: 7x/../y\nnode_type: WIDGET\ndefinitions: [1]\n",
        &["bad/contract.yaml:1", "bad/contract.yaml:2", "bad/contract.yaml:3"],
    );
}

#[test]
fn a_duplicate_key() {
    refused("name: node_x\nnode_type: COMPUTE\nname: node_y\n", &["bad/contract.yaml:3", "name"]);
}

#[test]
fn a_yaml_bomb() {
    let mut bomb = String::from("name: node_x\nnode_type: COMPUTE\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let last = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![last; 10].join(", "));
    }
    refused(bomb, &["bad/contract.yaml"]);
}

#[test]
fn nesting_without_end() {
    refused(format!("name: node_x\nnode_type: COMPUTE\nx: {}", "[".repeat(100_000)), &["bad/contract.yaml"]);
}

#[test]
fn a_file_of_100_mb() {
    let bench = Bench::new();
    bench.write("contracts/good/contract.yaml", contract("node_good_compute"));
    let path = bench.write("contracts/bad/contract.yaml", "");
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100 << 20).unwrap();
    check(&bench, &["larger than 4 MiB"]);
}

#[test]
fn not_utf8() {
    refused(b"name: node_x\nnode_type: COMPUTE\ndescription: \xff\xfe\n", &["bad/contract.yaml:3", "UTF-8"]);
}

#[test]
fn an_empty_file() {
    refused("", &["empty"]);
    refused("# only a comment\n", &["empty"]);
}

#[test]
fn no_permission() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    bench.write("contracts/good/contract.yaml", contract("node_good_compute"));
    let path = bench.write("contracts/bad/contract.yaml", contract("node_bad_compute"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_ok() {
        // Root may read everything: a folder in the place of the file is as unreadable.
        std::fs::remove_file(&path).unwrap();
        let link = bench.path("contracts/bad/contract.yaml");
        std::os::unix::fs::symlink("contract.yaml", &link).unwrap();
        let ended = bench.generate([bench.path("contracts/good"), link]).expect_code(1);
        assert!(ended.stderr.contains("bad/contract.yaml"), "{}", ended.stderr);
        assert_eq!(packages(&bench.out()), ["node_good_compute"]);
        return;
    }
    check(&bench, &["permission denied"]);
}

#[test]
fn a_name_that_leads_out_of_the_output_folder() {
    for name in ["../../x", "/etc/x", "a\\\\b", "..", ".hidden"] {
        refused(format!("name: \"{name}\"\nnode_type: COMPUTE\n"), &["bad/contract.yaml:1"]);
    }
}

#[test]
fn something_that_is_no_contract() {
    refused("on: push\njobs: {build: {steps: []}}\n", &["not a node contract"]);
    refused("- 1\n- 2\n", &["not a node contract"]);
}

#[test]
fn two_contracts_of_one_name_are_both_refused() {
    let bench = Bench::new();
    for folder in ["a", "b"] {
        bench.write(&format!("contracts/{folder}/contract.yaml"), contract("node_twin_compute"));
    }
    let ended = bench.generate([bench.path("contracts")]).expect_code(1);
    assert!(ended.stderr.contains("a/contract.yaml") && ended.stderr.contains("b/contract.yaml"), "{}", ended.stderr);
    assert!(packages(&bench.out()).is_empty());
}

#[test]
fn wrong_command_lines_exit_with_two_and_say_why() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("empty")).unwrap();
    let ended = bench.generate([bench.path("empty")]).expect_code(2);
    assert!(ended.stderr.contains("no contract found"), "{}", ended.stderr);
    bench.generate(["--workers", "0", "."]).expect_code(2);
    bench.generate(["--no-such-flag"]).expect_code(2);
    let ended = bench.generate(["missing/contract.yaml"]).expect_code(1);
    assert!(
        ended.stderr.contains("missing/contract.yaml") && ended.stderr.contains("no such file"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_output_folder_that_cannot_be_one_exits_with_three() {
    let bench = Bench::new();
    bench.write("out", "a file");
    let folder = bench.write("contracts/contract.yaml", contract("node_good_compute"));
    let ended = bench.generate([folder]).expect_code(3);
    assert!(ended.stderr.contains("output folder"), "{}", ended.stderr);
}

#[test]
fn nobody_reading_the_messages_is_no_reason_to_stop() {
    let bench = Bench::new();
    for number in 0..50 {
        bench.write(&format!("contracts/bad{number}/contract.yaml"), "name: node_x\nnode_type: WIDGET\n");
        let good = contract(&format!("node_good_{number}_compute"));
        bench.write(&format!("contracts/good{number}/contract.yaml"), good);
    }
    let mut child = bench
        .command([bench.path("contracts")])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(packages(&bench.out()).len(), 50);
}

#[test]
fn a_pipe_is_read_once_and_so_is_standard_input() {
    let bench = Bench::new();
    let pipe = bench.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let child =
        bench.command([pipe.as_os_str(), "-".as_ref(), "-".as_ref()]).stdin(std::process::Stdio::piped()).spawn();
    let mut child = child.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), contract("node_b_compute").as_bytes()).unwrap();
    std::fs::write(&pipe, contract("node_a_compute")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(packages(&bench.out()), ["node_a_compute", "node_b_compute"]);
}
