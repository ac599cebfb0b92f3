WITH hours AS (
    SELECT * FROM generation_performance_hourly WHERE hour >= to_timestamp($2)
), edge AS (
    SELECT node_type, phase, coalesce(parallel_execution, false) AS parallel_execution, coalesce(cache_hit, false) AS hit,
        coalesce(worker_count, 1) AS workers, duration_ms
    FROM generation_performance_metrics WHERE created_at >= to_timestamp($1) AND created_at < to_timestamp($2)
), totals AS (
    SELECT node_type, phase, parallel_execution, sum(runs)::int8 AS runs, sum(hits)::int8 AS cache_hits,
        sum(workers)::int8 AS workers, sum(duration_ms) AS duration_ms
    FROM (
        SELECT node_type, phase, parallel_execution, runs, cache_hits AS hits, workers, duration_ms FROM hours
        UNION ALL
        SELECT node_type, phase, parallel_execution, count(*), count(*) FILTER (WHERE hit), sum(workers), sum(duration_ms)
        FROM edge GROUP BY 1, 2, 3
    ) AS part GROUP BY 1, 2, 3
), durations AS (
    SELECT node_type, phase, parallel_execution, array_agg(slot ORDER BY slot) AS slots,
        array_agg(n ORDER BY slot) AS counts
    FROM (
        SELECT node_type, phase, parallel_execution, slot, sum(n)::int8 AS n
        FROM (
            SELECT node_type, phase, parallel_execution, slot, n
            FROM hours, unnest(duration_slots, duration_counts) AS part (slot, n)
            UNION ALL
            SELECT node_type, phase, parallel_execution, histogram_slot(duration_ms), 1 FROM edge
        ) AS part GROUP BY 1, 2, 3, 4
    ) AS counted GROUP BY 1, 2, 3
)
SELECT node_type, phase, parallel_execution, runs, cache_hits, workers, duration_ms,
    slots AS duration_slots, counts AS duration_counts
FROM totals JOIN durations USING (node_type, phase, parallel_execution)
ORDER BY node_type, phase, parallel_execution
