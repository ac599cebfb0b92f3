-- Rows whose right answers stand in statements.sql, for PostgreSQL and SQLite. `{30 minutes}` is that long ago; who runs
-- the file puts `now() - interval '30 minutes'` or `strftime('%Y-%m-%d %H:%M:%f', 'now', '-30 minutes')` there.

-- Types by rate: custom/py 20/20, onex/py 95/110, onex/toml 30/40, onex/yaml 6/12; onex/md was never used.
-- b.py.j2 has a low rate but only 10 uses.
INSERT INTO template_cache_metadata (template_name, template_type, cache_key, file_path, file_hash, size_bytes,
    load_time_ms, last_accessed_at, access_count, cache_hits, cache_misses)
VALUES
    ('onex/a.py.j2', 'onex/py', 'onex/a.py.j2', 'embedded:onex/a.py.j2', 'a1', 1048576, 1.5, {30 minutes}, 100, 90, 10),
    ('onex/b.py.j2', 'onex/py', 'onex/b.py.j2', 'embedded:onex/b.py.j2', 'b1', 524288, 0.5, {30 minutes}, 10, 5, 5),
    ('onex/c.yaml.j2', 'onex/yaml', 'onex/c.yaml.j2', 'embedded:onex/c.yaml.j2', 'c1', 2048, 0.25, {90 minutes}, 12, 6, 6),
    ('onex/d.md.j2', 'onex/md', 'onex/d.md.j2', 'embedded:onex/d.md.j2', 'd1', 1024, 0.25, NULL, 0, 0, 0),
    ('onex/e.toml.j2', 'onex/toml', 'onex/e.toml.j2', 'embedded:onex/e.toml.j2', 'e1', 1024, 0.25, {2 days}, 40, 30, 10),
    ('custom/f.py.j2', 'custom/py', 'custom/f.py.j2', '/templates/f.py.j2', 'f1', 4096, 2.0, {30 minutes}, 20, 20, 0);

-- In the last hour: EFFECT code_gen 0.01 to 0.21 ms in parallel, COMPUTE code_gen 10 to 40 ms in sequence, ORCHESTRATOR
-- total 250 ms in parallel. Before it: EFFECT code_gen 1000 ms; 89 and 91 days ago REDUCER total 5 ms.
WITH RECURSIVE place (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM place WHERE i < 21)
INSERT INTO generation_performance_metrics (session_id, node_type, phase, duration_ms, cache_hit, parallel_execution,
    worker_count, metadata, created_at)
SELECT '00000000-0000-7000-8000-000000000001', 'EFFECT', 'code_gen', i / 100.0, true, true, 4, '{"package": "node_a"}',
    {30 minutes}
FROM place;
INSERT INTO generation_performance_metrics (session_id, node_type, phase, duration_ms, created_at)
VALUES
    ('00000000-0000-7000-8000-000000000002', 'COMPUTE', 'code_gen', 10, {30 minutes}),
    ('00000000-0000-7000-8000-000000000002', 'COMPUTE', 'code_gen', 20, {30 minutes}),
    ('00000000-0000-7000-8000-000000000002', 'COMPUTE', 'code_gen', 30, {30 minutes}),
    ('00000000-0000-7000-8000-000000000002', 'COMPUTE', 'code_gen', 40, {30 minutes}),
    ('00000000-0000-7000-8000-000000000003', 'EFFECT', 'code_gen', 1000, {90 minutes}),
    ('00000000-0000-7000-8000-000000000004', 'REDUCER', 'total', 5, {89 days}),
    ('00000000-0000-7000-8000-000000000004', 'REDUCER', 'total', 5, {91 days});
INSERT INTO generation_performance_metrics (session_id, node_type, phase, duration_ms, parallel_execution, worker_count,
    created_at)
VALUES ('00000000-0000-7000-8000-000000000005', 'ORCHESTRATOR', 'total', 250, true, 2, {30 minutes});

-- Latencies: node.generate 1.5 to 21.5 ms, node.slow 150 to 350 ms, node.old 7 ms, node.idle 2 and 4 ms without a wait.
WITH RECURSIVE place (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM place WHERE i < 21)
INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, queue_wait_time_ms, success,
    error_type, error_message, retry_count, created_at)
SELECT 'node.generate', CASE WHEN i <= 14 THEN 'cli' ELSE 'nats' END, i, 0.5, i <> 7, CASE WHEN i = 7 THEN 'contract' END,
    CASE WHEN i = 7 THEN 'a.yaml:1:1: no name' END, CASE WHEN i = 7 THEN 2 ELSE 0 END, {30 minutes}
FROM place;
INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, queue_wait_time_ms, success,
    created_at)
VALUES
    ('node.slow', 'nats', 100, 50, true, {30 minutes}),
    ('node.slow', 'nats', 100, 100, true, {30 minutes}),
    ('node.slow', 'nats', 100, 150, true, {30 minutes}),
    ('node.slow', 'nats', 100, 200, false, {30 minutes}),
    ('node.slow', 'nats', 100, 250, false, {30 minutes}),
    ('node.idle', 'cli', 2, NULL, true, {90 minutes}),
    ('node.idle', 'cli', 4, NULL, true, {90 minutes}),
    ('node.old', 'cli', 4, 3, true, {89 days}),
    ('node.old', 'cli', 4, 3, true, {91 days});

-- The first pair comes in the wrong order. Over a year old: 4 tests, 5 tests, and counts that are null.
INSERT INTO mixin_compatibility_matrix (mixin_a, mixin_b, node_type, compatibility_score, success_count, failure_count,
    created_at)
VALUES
    ('retry', 'caching', 'EFFECT', 0.79, 79, 21, {30 minutes}),
    ('audit', 'metrics', 'COMPUTE', 0.80, 8, 2, {30 minutes}),
    ('caching', 'retry', 'REDUCER', 0.5, 3, 3, {30 minutes}),
    ('old_a', 'old_b', 'EFFECT', 0.75, 3, 1, {400 days}),
    ('old_c', 'old_d', 'EFFECT', 0.6, 3, 2, {400 days}),
    ('old_e', 'old_f', 'EFFECT', NULL, NULL, NULL, {400 days});

-- service: 8 correct, 2 incorrect, 3 partial. crud: 9 correct, 1 incorrect. saga: 1 correct, 3 incorrect, 1 adjusted.
-- event: 2 partial, so no precision at all.
WITH RECURSIVE place (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM place WHERE i < 30)
INSERT INTO pattern_feedback_log (session_id, pattern_name, detected_confidence, feedback_type, user_provided, created_at)
SELECT '00000000-0000-7000-8000-000000000006',
    CASE WHEN i <= 13 THEN 'service' WHEN i <= 23 THEN 'crud' WHEN i <= 28 THEN 'saga' ELSE 'event' END,
    0.75,
    CASE
        WHEN i <= 8 OR i BETWEEN 14 AND 22 OR i = 24 THEN 'correct'
        WHEN i <= 10 OR i = 23 OR i BETWEEN 25 AND 27 THEN 'incorrect'
        WHEN i = 28 THEN 'adjusted'
        ELSE 'partial'
    END,
    i % 2 = 0,
    CASE i WHEN 13 THEN {89 days} WHEN 28 THEN {91 days} ELSE {30 minutes} END
FROM place;
