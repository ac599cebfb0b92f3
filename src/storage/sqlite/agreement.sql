-- The days (UTC) whose rollups differ from the rows: hours that are long gone may be folded into their day. Sums of
-- milliseconds may be added up in another order.
WITH event_rows AS (
    SELECT strftime('%Y-%m-%d', created_at) AS day, event_type AS kind, count(*) AS n,
        count(*) FILTER (WHERE NOT success) AS a, sum(coalesce(retry_count, 0)) AS b,
        count(queue_wait_time_ms) AS c, sum(processing_duration_ms) + sum(coalesce(queue_wait_time_ms, 0)) AS ms
    FROM event_processing_metrics WHERE strftime('%s', created_at) IS NOT NULL GROUP BY 1, 2
), event_hours AS (
    SELECT substr(hour, 1, 10) AS day, event_type AS kind,
        sum(events) AS n, sum(failures) AS a, sum(retries) AS b, sum(waits) AS c,
        sum(processing_ms) + sum(wait_ms) AS ms
    FROM event_processing_hourly GROUP BY 1, 2
), phase_rows AS (
    SELECT strftime('%Y-%m-%d', created_at) AS day,
        node_type || ' ' || phase || ' ' || coalesce(parallel_execution, 0) AS kind, count(*) AS n,
        count(*) FILTER (WHERE cache_hit) AS a, sum(coalesce(worker_count, 1)) AS b, sum(duration_ms) AS ms
    FROM generation_performance_metrics WHERE strftime('%s', created_at) IS NOT NULL GROUP BY 1, 2
), phase_hours AS (
    SELECT substr(hour, 1, 10) AS day, node_type || ' ' || phase || ' ' || parallel_execution AS kind,
        sum(runs) AS n, sum(cache_hits) AS a, sum(workers) AS b, sum(duration_ms) AS ms
    FROM generation_performance_hourly GROUP BY 1, 2
), differing AS (
    SELECT day FROM event_rows AS x FULL JOIN event_hours AS y USING (day, kind)
    WHERE x.n IS NOT y.n OR x.a IS NOT y.a OR x.b IS NOT y.b OR x.c IS NOT y.c
        OR abs(x.ms - y.ms) > 1e-6 * max(abs(x.ms), 1)
    UNION
    SELECT day FROM phase_rows AS x FULL JOIN phase_hours AS y USING (day, kind)
    WHERE x.n IS NOT y.n OR x.a IS NOT y.a OR x.b IS NOT y.b
        OR abs(x.ms - y.ms) > 1e-6 * max(abs(x.ms), 1)
)
SELECT
    (SELECT count(*) FROM (SELECT day FROM event_rows UNION SELECT day FROM phase_rows) AS days) AS days,
    (SELECT count(*) FROM differing) AS differing,
    (SELECT min(day) FROM differing) AS first,
    (SELECT max(day) FROM differing) AS last
