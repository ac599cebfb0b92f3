-- What dashboards, `doctor` and alerts read instead of the metric tables: sums and histograms by hour.
-- Guarded: applying this file twice changes nothing.
--
-- The twin of PostgreSQL's 0009, where slots are explained. Here a histogram is a JSON object, slot to count; the binary
-- logarithm of a whole number comes from the length of its hexadecimal digits and from the first of them.

CREATE TABLE IF NOT EXISTS event_processing_hourly (
    id INTEGER PRIMARY KEY,
    hour TEXT NOT NULL,
    event_type TEXT NOT NULL,
    events INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    -- Rows whose queue wait is known, the sum of the waits and the longest.
    waits INTEGER NOT NULL,
    wait_ms REAL NOT NULL,
    wait_max_ms REAL,
    processing_ms REAL NOT NULL,
    -- Latency: queue wait + processing.
    latency_histogram TEXT NOT NULL,
    wait_histogram TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_event_processing_hourly ON event_processing_hourly (hour, event_type);

CREATE TABLE IF NOT EXISTS generation_performance_hourly (
    id INTEGER PRIMARY KEY,
    hour TEXT NOT NULL,
    node_type TEXT NOT NULL,
    phase TEXT NOT NULL,
    parallel_execution INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    cache_hits INTEGER NOT NULL,
    workers INTEGER NOT NULL,
    duration_ms REAL NOT NULL,
    duration_histogram TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_generation_performance_hourly ON generation_performance_hourly (hour, node_type, phase);

-- What is there already, unless this file was applied before. The same statements as `db rollup --rebuild`. Rows whose
-- time SQLite cannot read lie in no hour.
INSERT INTO event_processing_hourly (hour, event_type, events, failures, retries, waits, wait_ms, wait_max_ms,
    processing_ms, latency_histogram, wait_histogram)
WITH counted AS (
    SELECT strftime('%Y-%m-%d %H:00:00.000', created_at) AS hour, event_type, success,
        coalesce(retry_count, 0) AS retries, queue_wait_time_ms AS wait, processing_duration_ms AS processing
    FROM event_processing_metrics
    WHERE strftime('%s', created_at) IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM schema_migrations WHERE version = 9)
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
FROM totals JOIN histograms USING (hour, event_type);

INSERT INTO generation_performance_hourly (hour, node_type, phase, parallel_execution, runs, cache_hits, workers,
    duration_ms, duration_histogram)
WITH measured AS (
    SELECT strftime('%Y-%m-%d %H:00:00.000', created_at) AS hour, node_type, phase,
        coalesce(parallel_execution, 0) AS parallel, coalesce(cache_hit, 0) AS hit, coalesce(worker_count, 1) AS workers,
        duration_ms AS ms, CAST(round(min(duration_ms, 1e12) * 1e6) AS INTEGER) AS ns
    FROM generation_performance_metrics
    WHERE strftime('%s', created_at) IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM schema_migrations WHERE version = 9)
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
FROM slots GROUP BY 1, 2, 3, 4;

INSERT OR IGNORE INTO schema_migrations (version, description, execution_time_ms)
VALUES (9, 'Hourly rollups of the metrics', 0);
