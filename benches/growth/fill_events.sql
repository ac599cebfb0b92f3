-- :rows events of 90 days, evenly spread; durations log-normal and nearly all distinct; ids as UUID v7 has them, in order.
INSERT INTO event_processing_metrics (id, event_id, attempt, event_type, event_source, processing_duration_ms,
    queue_wait_time_ms, success, error_type, error_message, retry_count, created_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i & 4095), 3, '0') || '8'
        || lpad(to_hex(i), 15, '0'))::uuid,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i & 4095), 3, '0') || '9'
        || lpad(to_hex(i), 15, '0'))::uuid,
    1 + (i % 20 = 0)::int,
    (ARRAY['node.generate', 'node.validate', 'template.load', 'package.write', 'metrics.flush', 'contract.read',
        'alert.evaluate', 'pattern.match'])[1 + i % 8],
    (ARRAY['cli', 'serve', 'nats'])[1 + i % 3],
    round((exp(ln(2 + i % 8) + 0.8 * sqrt(-2 * ln(1 - random())) * cos(6.283185307 * random())))::numeric, 6)::float8,
    CASE WHEN i % 50 <> 0 THEN
        round((exp(ln(0.5) + 1.2 * sqrt(-2 * ln(1 - random())) * cos(6.283185307 * random())))::numeric, 6)::float8 END,
    i % 33 <> 0,
    CASE WHEN i % 33 = 0 THEN 'timeout' END,
    CASE WHEN i % 33 = 0 THEN 'it took too long: 200 ms' END,
    (i % 20 = 0)::int,
    at
FROM (SELECT i, now() - interval '90 days' + i * (interval '90 days' / :rows.0) AS at FROM generate_series(1, :rows) i) AS s;
