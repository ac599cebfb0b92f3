-- The rows of a span of time (?1 to before ?2) by hour; those whose time cannot be read lie in none.
INSERT INTO event_processing_hourly (hour, event_type, events, failures, retries, waits, wait_ms, wait_max_ms,
    processing_ms, latency_histogram, wait_histogram)
WITH counted AS (
    SELECT strftime('%Y-%m-%d %H:00:00.000', created_at) AS hour, event_type, success,
        coalesce(retry_count, 0) AS retries, queue_wait_time_ms AS wait, processing_duration_ms AS processing
    FROM event_processing_metrics
    WHERE created_at >= ?1 AND created_at < ?2 AND strftime('%s', created_at) IS NOT NULL
), totals AS (
    SELECT hour, event_type, count(*) AS events, sum(NOT success) AS failures, sum(retries) AS retries,
        count(wait) AS waits, coalesce(sum(wait), 0.0) AS wait_ms, max(wait) AS wait_max_ms,
        sum(processing) AS processing_ms
    FROM counted GROUP BY 1, 2
), measured AS (
    SELECT hour, event_type, 'latency' AS kind,
        CAST(round(max(0, min(coalesce(wait, 0) + processing, 1e12)) * 1e6) AS INTEGER) AS ns
    FROM counted
    UNION ALL
    SELECT hour, event_type, 'wait', CAST(round(max(0, min(wait, 1e12)) * 1e6) AS INTEGER)
    FROM counted WHERE wait IS NOT NULL
), octaves AS (
    SELECT hour, event_type, kind, ns, 4 * length(printf('%x', ns)) - 10 + (substr(printf('%x', ns), 1, 1) >= '2')
        + (substr(printf('%x', ns), 1, 1) >= '4') + (substr(printf('%x', ns), 1, 1) >= '8') AS shift
    FROM measured
), slots AS (
    SELECT hour, event_type, kind, CASE WHEN ns < 64 THEN ns ELSE shift * 64 + (ns >> shift) END AS slot, count(*) AS n
    FROM octaves GROUP BY 1, 2, 3, 4
), histograms AS (
    SELECT hour, event_type, json_group_object(slot, n) FILTER (WHERE kind = 'latency') AS latency,
        json_group_object(slot, n) FILTER (WHERE kind = 'wait') AS wait
    FROM slots GROUP BY 1, 2
)
SELECT hour, event_type, events, failures, retries, waits, wait_ms, wait_max_ms, processing_ms, latency, wait
FROM totals JOIN histograms USING (hour, event_type)
