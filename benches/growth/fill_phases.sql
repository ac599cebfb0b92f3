-- :rows phases of 90 days; as fill_events.sql.
INSERT INTO generation_performance_metrics (id, session_id, node_type, phase, duration_ms, cache_hit, parallel_execution,
    worker_count, metadata, created_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i & 4095), 3, '0') || '8'
        || lpad(to_hex(i), 15, '0'))::uuid,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70009' || lpad(to_hex(i / 1000), 15, '0'))::uuid,
    (ARRAY['EFFECT', 'COMPUTE', 'REDUCER', 'ORCHESTRATOR'])[1 + (i / 6) % 4],
    (ARRAY['prd_analysis', 'template_load', 'code_gen', 'validation', 'persistence', 'total'])[1 + i % 6],
    round((exp(ln(0.2 * (1 + i % 6)) + 0.8 * sqrt(-2 * ln(1 - random())) * cos(6.283185307 * random())))::numeric, 6)::float8,
    i % 10 < 8,
    i % 1000 > 200,
    CASE WHEN i % 1000 > 200 THEN 4 ELSE 1 END,
    '{"package": "node_user_effect"}',
    at
FROM (SELECT i, now() - interval '90 days' + i * (interval '90 days' / :rows.0) AS at FROM generate_series(1, :rows) i) AS s;
