-- The rows of an hour, event type become one.
WITH crowded AS (
    SELECT hour, event_type FROM event_processing_hourly GROUP BY 1, 2 HAVING count(*) > 1
), taken AS (
    DELETE FROM event_processing_hourly AS part USING crowded
    WHERE part.hour = crowded.hour AND part.event_type = crowded.event_type
    RETURNING part.*
), totals AS (
    SELECT hour, event_type, sum(events) AS events, sum(failures) AS failures, sum(retries) AS retries,
        sum(waits) AS waits, sum(wait_ms) AS wait_ms, max(wait_max_ms) AS wait_max_ms, sum(processing_ms) AS processing_ms
    FROM taken GROUP BY 1, 2
), latencies AS (
    SELECT hour, event_type, array_agg(slot ORDER BY slot) AS slots, array_agg(n ORDER BY slot) AS counts
    FROM (
        SELECT hour, event_type, slot, sum(n)::int8 AS n
        FROM taken, unnest(latency_slots, latency_counts) AS part (slot, n) GROUP BY 1, 2, 3
    ) AS counted GROUP BY 1, 2
), waits AS (
    SELECT hour, event_type, array_agg(slot ORDER BY slot) AS slots, array_agg(n ORDER BY slot) AS counts
    FROM (
        SELECT hour, event_type, slot, sum(n)::int8 AS n
        FROM taken, unnest(wait_slots, wait_counts) AS part (slot, n) GROUP BY 1, 2, 3
    ) AS counted GROUP BY 1, 2
)
INSERT INTO event_processing_hourly (hour, event_type, events, failures, retries, waits, wait_ms, wait_max_ms,
    processing_ms, latency_slots, latency_counts, wait_slots, wait_counts)
SELECT hour, event_type, events, failures, retries, totals.waits, wait_ms, wait_max_ms, processing_ms,
    latencies.slots, latencies.counts, coalesce(waits.slots, '{}'), coalesce(waits.counts, '{}')
FROM totals JOIN latencies USING (hour, event_type) LEFT JOIN waits USING (hour, event_type)
