-- The rollups of a span of time ($1 to before $2) become what its rows give. One statement: one snapshot.
WITH gone AS (
    DELETE FROM generation_performance_hourly WHERE hour >= $1::text::timestamptz AND hour < $2::text::timestamptz
)
INSERT INTO generation_performance_hourly (hour, node_type, phase, parallel_execution, runs, cache_hits, workers,
    duration_ms, duration_slots, duration_counts)
SELECT hour, node_type, phase, parallel, sum(n), sum(hits), sum(workers), sum(ms),
    array_agg(slot ORDER BY slot), array_agg(n ORDER BY slot)
FROM (
    SELECT date_trunc('hour', created_at, 'UTC') AS hour, node_type, phase,
        coalesce(parallel_execution, false) AS parallel, histogram_slot(duration_ms) AS slot, count(*) AS n,
        count(*) FILTER (WHERE cache_hit) AS hits, sum(coalesce(worker_count, 1)) AS workers, sum(duration_ms) AS ms
    FROM generation_performance_metrics
    WHERE created_at >= $1::text::timestamptz AND created_at < $2::text::timestamptz
    GROUP BY 1, 2, 3, 4, 5
) AS counted GROUP BY 1, 2, 3, 4
