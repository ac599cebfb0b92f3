//! Contracts in, packages out.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::{Bench, EXAMPLES, Ended, contract, corpus, packages, query, tree};

#[test]
fn the_examples_become_packages_and_a_second_run_writes_no_file() {
    let bench = Bench::new();
    let (first, summary) = bench.summary([EXAMPLES]);
    first.expect_code(0);
    let nodes = summary["nodes"].as_u64().unwrap();
    assert!(nodes >= 8, "{summary}");
    assert_eq!(packages(&bench.out()).len() as u64, nodes);
    assert_eq!(summary["files_written"], summary["files"]);
    let written = tree(&bench.out());
    for name in packages(&bench.out()) {
        for file in ["__init__.py", "node.py", "contract.yaml", "README.md", ".omninode.json"] {
            assert!(written.contains_key(&format!("{name}/{file}")), "{name}/{file} is missing");
        }
    }
    let (again, summary) = bench.summary([EXAMPLES]);
    again.expect_code(0);
    assert_eq!((&summary["files_written"], summary["nodes"].as_u64()), (&0.into(), Some(nodes)));
    assert_eq!(tree(&bench.out()), written);
}

#[test]
fn the_tree_is_the_same_with_one_worker_and_with_many_in_any_order() {
    let (one, many) = (Bench::new(), Bench::new());
    let folder = corpus(&one, 40);
    one.generate([folder.as_os_str(), "--workers".as_ref(), "1".as_ref()]).expect_code(0);
    let mut files: Vec<_> =
        (0..40).map(|number| folder.join(format!("c{number:03}/contract.yaml")).into_os_string()).collect();
    files.reverse();
    files.extend(["--workers".into(), "7".into()]);
    many.generate(files).expect_code(0);
    assert_eq!(packages(&one.out()).len(), 40);
    assert_eq!(tree(&one.out()), tree(&many.out()));
}

#[test]
fn a_contract_on_standard_input_is_generated_and_its_copy_is_exact() {
    let bench = Bench::new();
    let text = contract("node_from_stdin_compute");
    let mut child =
        bench.command(["-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Ended::of(&child.wait_with_output().unwrap()).expect_code(0);
    assert_eq!(tree(&bench.out())["node_from_stdin_compute/contract.yaml"], text.as_bytes());
}

#[test]
fn the_summary_tells_people_what_was_made_and_how_long_each_phase_took() {
    let bench = Bench::new();
    let ended = bench.generate([corpus(&bench, 12).as_os_str(), "--workers".as_ref(), "2".as_ref()]).expect_code(0);
    for part in [
        "12 packages in",
        "nodes/s",
        "2 workers",
        "written, 0 unchanged",
        "prd_analysis",
        "template_load",
        "code_gen",
        "validation",
        "persistence",
        "total",
        "queue wait",
        "% of the templates came from the cache",
    ] {
        assert!(ended.stdout.contains(part), "`{part}` is missing in\n{}", ended.stdout);
    }
    assert_eq!(ended.stderr, "", "without a terminal and without a fault nothing is said");
}

#[test]
fn every_phase_of_every_node_and_every_event_lands_in_the_database_with_true_values() {
    let bench = Bench::new();
    let folder = corpus(&bench, 12);
    bench.write("contracts/bad/contract.yaml", "name: node_bad\nnode_type: WIDGET\n");
    let (ended, summary) = bench.summary([folder.as_os_str(), "--workers".as_ref(), "2".as_ref()]);
    ended.expect_code(1);
    let reports = query(&bench, "SELECT CAST(count(*) AS REAL) FROM template_cache_metadata")[0];
    assert!(summary["rows_stored"].as_f64().unwrap() >= 85.0 + reports && reports > 10.0, "12 * 6 + 13: {summary}");
    assert_eq!((&summary["rows_refused"], &summary["rows_dropped"]), (&0.into(), &0.into()));
    let counts = "SELECT CAST(count(*) AS REAL) FROM generation_performance_metrics WHERE node_type = 'COMPUTE' \
                  AND worker_count = 2 AND parallel_execution GROUP BY phase";
    assert_eq!(query(&bench, counts), [12.0; 6]);
    let hits =
        "SELECT CAST(count(*) AS REAL) FROM generation_performance_metrics WHERE phase = 'total' GROUP BY cache_hit";
    assert_eq!(query(&bench, hits), [12.0], "the pack was warmed up before the first job");
    let fractions = "SELECT duration_ms FROM generation_performance_metrics";
    let durations = query(&bench, fractions);
    assert!(durations.iter().any(|ms| ms.fract() != 0.0 && *ms > 0.0), "fractions of a millisecond are kept");
    let parts = "SELECT sum(duration_ms) FILTER (WHERE phase = 'total') - sum(duration_ms) FILTER (WHERE phase <> 'total') \
                 FROM generation_performance_metrics GROUP BY json_extract(metadata, '$.package')";
    assert!(query(&bench, parts).iter().all(|rest| *rest >= 0.0), "the parts of a node never exceed its total");
    let events = "SELECT CAST(count(*) AS REAL) FROM event_processing_metrics WHERE attempt = 1 AND retry_count = 0 \
                  GROUP BY success";
    assert_eq!(query(&bench, events), [1.0, 12.0]);
    assert!(query(&bench, "SELECT queue_wait_time_ms FROM event_processing_metrics").iter().any(|wait| *wait > 0.0));
    let error = "SELECT CAST(count(*) AS REAL) FROM event_processing_metrics WHERE error_type = 'contract' \
                 AND error_message LIKE '%WIDGET%'";
    assert_eq!(query(&bench, error), [1.0]);
}

#[test]
fn a_database_that_cannot_be_opened_is_a_warning_and_the_packages_are_made() {
    let bench = Bench::new();
    bench.write("omninode.db", "this is no database, but it is long enough to have a header that is wrong".repeat(9));
    let ended = bench.generate([corpus(&bench, 3)]).expect_code(0);
    assert!(ended.stderr.contains("warning: database") && ended.stderr.contains("not stored"), "{}", ended.stderr);
    assert_eq!(packages(&bench.out()).len(), 3);
}

#[test]
fn a_users_own_pack_is_used_and_its_faults_name_template_and_line() {
    let bench = Bench::new();
    let folder = corpus(&bench, 1);
    bench.write(
        "pack/pack.yaml",
        "name: own\nversion: '1'\ndescription: mine\nfiles:\n  - {path: hello.py, template: hello.py.j2}\n",
    );
    bench.write("pack/hello.py.j2", "NAME = {{ node.package | py_str }}\n");
    let arguments = |pack: &str| [folder.clone().into_os_string(), "--pack".into(), bench.path(pack).into_os_string()];
    bench.generate(arguments("pack")).expect_code(0);
    let files = tree(&bench.out());
    assert_eq!(files["node_sum_000_compute/hello.py"], b"NAME = \"node_sum_000_compute\"\n");
    bench.write(
        "bad/pack.yaml",
        "name: own\nversion: '1'\ndescription: mine\nfiles:\n  - {path: hello.py, template: hello.py.j2}\n",
    );
    for (template, says) in [
        ("A = 1\nB = {{ nothing }}\n", "hello.py.j2:2"),
        ("A = (\n", "node_sum_000_compute/hello.py:2:1"),
        ("{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}", "too much work"),
        ("print(undefined_name)\n", "undefined_name"),
    ] {
        bench.write("bad/hello.py.j2", template);
        let ended = bench.generate(arguments("bad")).expect_code(1);
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
    let ended = bench.generate(arguments("nowhere")).expect_code(2);
    assert!(ended.stderr.contains("no such template pack") && ended.stderr.contains("onex"), "{}", ended.stderr);
    assert_eq!(tree(&bench.out()), files, "nothing of the failures was written");
}
