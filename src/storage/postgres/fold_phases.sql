-- The rows of an hour, node type, phase and kind of run become one.
WITH crowded AS (
    SELECT hour, node_type, phase FROM generation_performance_hourly GROUP BY 1, 2, 3 HAVING count(*) > 2
), taken AS (
    DELETE FROM generation_performance_hourly AS part USING crowded
    WHERE part.hour = crowded.hour AND part.node_type = crowded.node_type AND part.phase = crowded.phase
    RETURNING part.*
), totals AS (
    SELECT hour, node_type, phase, parallel_execution, sum(runs) AS runs, sum(cache_hits) AS hits,
        sum(workers) AS workers, sum(duration_ms) AS ms
    FROM taken GROUP BY 1, 2, 3, 4
), durations AS (
    SELECT hour, node_type, phase, parallel_execution, array_agg(slot ORDER BY slot) AS slots,
        array_agg(n ORDER BY slot) AS counts
    FROM (
        SELECT hour, node_type, phase, parallel_execution, slot, sum(n)::int8 AS n
        FROM taken, unnest(duration_slots, duration_counts) AS part (slot, n) GROUP BY 1, 2, 3, 4, 5
    ) AS counted GROUP BY 1, 2, 3, 4
)
INSERT INTO generation_performance_hourly (hour, node_type, phase, parallel_execution, runs, cache_hits, workers,
    duration_ms, duration_slots, duration_counts)
SELECT hour, node_type, phase, parallel_execution, runs, hits, workers, ms, slots, counts
FROM totals JOIN durations USING (hour, node_type, phase, parallel_execution)
