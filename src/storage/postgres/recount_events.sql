-- The rollups of a span of time ($1 to before $2) become what its rows give. One statement: one snapshot.
WITH gone AS (
    DELETE FROM event_processing_hourly WHERE hour >= $1::text::timestamptz AND hour < $2::text::timestamptz
), rows AS (
    SELECT date_trunc('hour', created_at, 'UTC') AS hour, event_type, success, coalesce(retry_count, 0) AS retries,
        queue_wait_time_ms AS wait, processing_duration_ms AS processing
    FROM event_processing_metrics
    WHERE created_at >= $1::text::timestamptz AND created_at < $2::text::timestamptz
), totals AS (
    SELECT hour, event_type, count(*) AS events, count(*) FILTER (WHERE NOT success) AS failures,
        sum(retries) AS retries, count(wait) AS waits, coalesce(sum(wait), 0) AS wait_ms, max(wait) AS wait_max_ms,
        sum(processing) AS processing_ms
    FROM rows GROUP BY 1, 2
), latencies AS (
    SELECT hour, event_type, array_agg(slot ORDER BY slot) AS slots, array_agg(n ORDER BY slot) AS counts
    FROM (
        SELECT hour, event_type, histogram_slot(coalesce(wait, 0) + processing) AS slot, count(*) AS n
        FROM rows GROUP BY 1, 2, 3
    ) AS counted GROUP BY 1, 2
), waits AS (
    SELECT hour, event_type, array_agg(slot ORDER BY slot) AS slots, array_agg(n ORDER BY slot) AS counts
    FROM (
        SELECT hour, event_type, histogram_slot(wait) AS slot, count(*) AS n
        FROM rows WHERE wait IS NOT NULL GROUP BY 1, 2, 3
    ) AS counted GROUP BY 1, 2
)
INSERT INTO event_processing_hourly (hour, event_type, events, failures, retries, waits, wait_ms, wait_max_ms,
    processing_ms, latency_slots, latency_counts, wait_slots, wait_counts)
SELECT hour, event_type, events, failures, retries, totals.waits, wait_ms, wait_max_ms, processing_ms,
    latencies.slots, latencies.counts, coalesce(waits.slots, '{}'), coalesce(waits.counts, '{}')
FROM totals JOIN latencies USING (hour, event_type) LEFT JOIN waits USING (hour, event_type)
