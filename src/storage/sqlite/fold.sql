-- The rows of an hour and kind become one: sums are put behind the last row that was there, and what they sum up goes.
-- Nobody else writes meanwhile.
CREATE TEMPORARY TABLE last AS SELECT
    (SELECT coalesce(max(id), 0) FROM event_processing_hourly) AS event,
    (SELECT coalesce(max(id), 0) FROM generation_performance_hourly) AS phase;

INSERT INTO event_processing_hourly (hour, event_type, events, failures, retries, waits, wait_ms, wait_max_ms,
    processing_ms, latency_histogram, wait_histogram)
SELECT hour, event_type, sum(events), sum(failures), sum(retries), sum(waits), sum(wait_ms), max(wait_max_ms),
    sum(processing_ms),
    (SELECT json_group_object(key, n) FROM (SELECT key, sum(value) AS n
        FROM event_processing_hourly AS part, json_each(part.latency_histogram)
        WHERE part.hour = whole.hour AND part.event_type = whole.event_type GROUP BY key)),
    (SELECT json_group_object(key, n) FROM (SELECT key, sum(value) AS n
        FROM event_processing_hourly AS part, json_each(part.wait_histogram)
        WHERE part.hour = whole.hour AND part.event_type = whole.event_type GROUP BY key))
FROM event_processing_hourly AS whole
GROUP BY hour, event_type HAVING count(*) > 1;

DELETE FROM event_processing_hourly
WHERE id <= (SELECT event FROM last) AND (hour, event_type) IN (
    SELECT hour, event_type FROM event_processing_hourly WHERE id > (SELECT event FROM last));

INSERT INTO generation_performance_hourly (hour, node_type, phase, parallel_execution, runs, cache_hits, workers,
    duration_ms, duration_histogram)
SELECT hour, node_type, phase, parallel_execution, sum(runs), sum(cache_hits), sum(workers), sum(duration_ms),
    (SELECT json_group_object(key, n) FROM (SELECT key, sum(value) AS n
        FROM generation_performance_hourly AS part, json_each(part.duration_histogram)
        WHERE part.hour = whole.hour AND part.node_type = whole.node_type AND part.phase = whole.phase
            AND part.parallel_execution = whole.parallel_execution GROUP BY key))
FROM generation_performance_hourly AS whole
GROUP BY hour, node_type, phase, parallel_execution HAVING count(*) > 1;

DELETE FROM generation_performance_hourly
WHERE id <= (SELECT phase FROM last) AND (hour, node_type, phase, parallel_execution) IN (
    SELECT hour, node_type, phase, parallel_execution FROM generation_performance_hourly
    WHERE id > (SELECT phase FROM last));

DROP TABLE last;
