-- The rows of a span of time (?1 to before ?2) by hour; those whose time cannot be read lie in none.
INSERT INTO generation_performance_hourly (hour, node_type, phase, parallel_execution, runs, cache_hits, workers,
    duration_ms, duration_histogram)
WITH measured AS (
    SELECT strftime('%Y-%m-%d %H:00:00.000', created_at) AS hour, node_type, phase,
        coalesce(parallel_execution, 0) AS parallel, coalesce(cache_hit, 0) AS hit, coalesce(worker_count, 1) AS workers,
        duration_ms AS ms, CAST(round(min(duration_ms, 1e12) * 1e6) AS INTEGER) AS ns
    FROM generation_performance_metrics
    WHERE created_at >= ?1 AND created_at < ?2 AND strftime('%s', created_at) IS NOT NULL
), octaves AS (
    SELECT *, 4 * length(printf('%x', ns)) - 10 + (substr(printf('%x', ns), 1, 1) >= '2')
        + (substr(printf('%x', ns), 1, 1) >= '4') + (substr(printf('%x', ns), 1, 1) >= '8') AS shift
    FROM measured
), slots AS (
    SELECT hour, node_type, phase, parallel, CASE WHEN ns < 64 THEN ns ELSE shift * 64 + (ns >> shift) END AS slot,
        count(*) AS n, sum(hit) AS hits, sum(workers) AS workers, sum(ms) AS ms
    FROM octaves GROUP BY 1, 2, 3, 4, 5
)
SELECT hour, node_type, phase, parallel, sum(n), sum(hits), sum(workers), sum(ms), json_group_object(slot, n)
FROM slots GROUP BY 1, 2, 3, 4
