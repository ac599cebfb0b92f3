WITH hours AS (
    SELECT * FROM event_processing_hourly WHERE hour >= to_timestamp($2)
), edge AS (
    SELECT event_type, success, coalesce(retry_count, 0) AS retries, queue_wait_time_ms AS wait,
        processing_duration_ms AS processing
    FROM event_processing_metrics WHERE created_at >= to_timestamp($1) AND created_at < to_timestamp($2)
), totals AS (
    SELECT event_type, sum(events)::int8 AS events, sum(failures)::int8 AS failures, sum(retries)::int8 AS retries,
        sum(waits)::int8 AS waits, sum(wait_ms) AS wait_ms, max(wait_max_ms) AS wait_max_ms,
        sum(processing_ms) AS processing_ms
    FROM (
        SELECT event_type, events, failures, retries, waits, wait_ms, wait_max_ms, processing_ms FROM hours
        UNION ALL
        SELECT event_type, count(*), count(*) FILTER (WHERE NOT success), sum(retries), count(wait),
            coalesce(sum(wait), 0), max(wait), sum(processing)
        FROM edge GROUP BY 1
    ) AS part GROUP BY 1
), latencies AS (
    SELECT event_type, array_agg(slot ORDER BY slot) AS slots, array_agg(n ORDER BY slot) AS counts
    FROM (
        SELECT event_type, slot, sum(n)::int8 AS n
        FROM (
            SELECT event_type, slot, n FROM hours, unnest(latency_slots, latency_counts) AS part (slot, n)
            UNION ALL
            SELECT event_type, histogram_slot(coalesce(wait, 0) + processing), 1 FROM edge
        ) AS part GROUP BY 1, 2
    ) AS counted GROUP BY 1
), waits AS (
    SELECT event_type, array_agg(slot ORDER BY slot) AS slots, array_agg(n ORDER BY slot) AS counts
    FROM (
        SELECT event_type, slot, sum(n)::int8 AS n
        FROM (
            SELECT event_type, slot, n FROM hours, unnest(wait_slots, wait_counts) AS part (slot, n)
            UNION ALL
            SELECT event_type, histogram_slot(wait), 1 FROM edge WHERE wait IS NOT NULL
        ) AS part GROUP BY 1, 2
    ) AS counted GROUP BY 1
)
SELECT event_type, events, failures, retries, totals.waits, wait_ms, wait_max_ms, processing_ms,
    latencies.slots AS latency_slots, latencies.counts AS latency_counts,
    coalesce(waits.slots, '{}') AS wait_slots, coalesce(waits.counts, '{}') AS wait_counts
FROM totals JOIN latencies USING (event_type) LEFT JOIN waits USING (event_type)
ORDER BY event_type
