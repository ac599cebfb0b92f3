-- The twin of PostgreSQL's views.sql: the same views with the same figures. Repeatable, applied after every change of a
-- numbered file. Every change of this file raises the revision in its last view.
--
-- The views count what is in the tables now, whoever inserted or deleted it, exactly. Rates and times are not rounded,
-- except in the views ..._by_... that show the columns of the replaced system.

-- A pair of mixins is stored in the order of its bytes, and a count that is null counts as none, whoever inserts. (A
-- trigger cannot change a row before it is stored here: a statement with ON CONFLICT has to give the pair in order.)
DROP TRIGGER IF EXISTS normalise_mixin_pair_insert;
CREATE TRIGGER normalise_mixin_pair_insert AFTER INSERT ON mixin_compatibility_matrix
WHEN NEW.mixin_a > NEW.mixin_b OR NEW.success_count IS NULL OR NEW.failure_count IS NULL
BEGIN
    UPDATE mixin_compatibility_matrix SET
        mixin_a = min(NEW.mixin_a, NEW.mixin_b), mixin_b = max(NEW.mixin_a, NEW.mixin_b),
        success_count = coalesce(NEW.success_count, 0), failure_count = coalesce(NEW.failure_count, 0)
    WHERE id = NEW.id;
END;
DROP TRIGGER IF EXISTS normalise_mixin_pair_update;
CREATE TRIGGER normalise_mixin_pair_update AFTER UPDATE ON mixin_compatibility_matrix
WHEN NEW.mixin_a > NEW.mixin_b OR NEW.success_count IS NULL OR NEW.failure_count IS NULL
BEGIN
    UPDATE mixin_compatibility_matrix SET
        mixin_a = min(NEW.mixin_a, NEW.mixin_b), mixin_b = max(NEW.mixin_a, NEW.mixin_b),
        success_count = coalesce(NEW.success_count, 0), failure_count = coalesce(NEW.failure_count, 0)
    WHERE id = NEW.id;
END;

-- One row a pair and node type.
DROP VIEW IF EXISTS mixin_compatibility_summary;
CREATE VIEW mixin_compatibility_summary AS
SELECT
    mixin_a, mixin_b, node_type,
    coalesce(compatibility_score, CAST(success_count AS REAL) / nullif(success_count + failure_count, 0))
        AS compatibility_score,
    success_count, failure_count, success_count + failure_count AS total_tests,
    CAST(success_count AS REAL) / nullif(success_count + failure_count, 0) AS success_rate,
    last_tested_at, conflict_reason, resolution_pattern
FROM mixin_compatibility_matrix;

DROP VIEW IF EXISTS mixin_compatibility_summary_by_node_type;
CREATE VIEW mixin_compatibility_summary_by_node_type AS
SELECT
    node_type,
    count(*) AS total_combinations,
    round(avg(compatibility_score), 3) AS avg_compatibility,
    sum(success_count) AS total_successes,
    sum(failure_count) AS total_failures,
    round(CAST(sum(success_count) AS REAL) / nullif(sum(success_count) + sum(failure_count), 0), 3) AS success_rate
FROM mixin_compatibility_matrix
GROUP BY node_type
ORDER BY node_type;

-- One row a pattern. Precision: correct of those that were either correct or incorrect, which are its samples; nothing
-- where there are none. Partial and adjusted ones count in neither.
DROP VIEW IF EXISTS pattern_feedback_analysis;
CREATE VIEW pattern_feedback_analysis AS
SELECT
    pattern_name,
    count(*) AS feedback_count,
    count(*) FILTER (WHERE feedback_type = 'correct') AS correct_count,
    count(*) FILTER (WHERE feedback_type = 'incorrect') AS false_positive_count,
    count(*) FILTER (WHERE feedback_type = 'partial') AS partial_count,
    count(*) FILTER (WHERE feedback_type = 'adjusted') AS adjusted_count,
    count(*) FILTER (WHERE feedback_type IN ('correct', 'incorrect')) AS sample_count,
    CAST(count(*) FILTER (WHERE feedback_type = 'correct') AS REAL)
        / nullif(count(*) FILTER (WHERE feedback_type IN ('correct', 'incorrect')), 0) AS "precision",
    avg(detected_confidence) AS avg_confidence,
    count(*) FILTER (WHERE user_provided) AS user_provided_count,
    avg(learning_weight) AS avg_learning_weight
FROM pattern_feedback_log
GROUP BY pattern_name;

DROP VIEW IF EXISTS pattern_feedback_analysis_by_feedback_type;
CREATE VIEW pattern_feedback_analysis_by_feedback_type AS
SELECT
    pattern_name,
    feedback_type,
    count(*) AS feedback_count,
    round(avg(detected_confidence), 3) AS avg_confidence,
    count(*) FILTER (WHERE user_provided) AS user_provided_count,
    round(avg(learning_weight), 3) AS avg_learning_weight
FROM pattern_feedback_log
GROUP BY pattern_name, feedback_type
ORDER BY pattern_name, feedback_count DESC;

-- One row a template type that was used.
DROP VIEW IF EXISTS template_cache_efficiency;
CREATE VIEW template_cache_efficiency AS
SELECT
    template_type,
    count(*) AS template_count,
    sum(cache_hits) AS total_hits,
    sum(cache_misses) AS total_misses,
    CAST(sum(cache_hits) AS REAL) / (sum(cache_hits) + sum(cache_misses)) AS overall_hit_rate,
    round(CAST(sum(cache_hits) AS REAL) / (sum(cache_hits) + sum(cache_misses)), 3) AS hit_rate,
    avg(cache_hits) AS avg_cache_hits,
    avg(cache_misses) AS avg_cache_misses,
    avg(load_time_ms) AS avg_load_time_ms,
    CAST(sum(size_bytes) AS REAL) / 1048576 AS total_size_mb
FROM template_cache_metadata
GROUP BY template_type
HAVING sum(cache_hits) + sum(cache_misses) > 0;

-- One row a phase. Percentiles between two values lie on the line between them, as percentile_cont of PostgreSQL does.
DROP VIEW IF EXISTS performance_metrics_summary;
CREATE VIEW performance_metrics_summary AS
WITH ordered AS (
    SELECT
        phase, duration_ms, cache_hit, parallel_execution, worker_count,
        count(*) OVER (PARTITION BY phase) AS n,
        row_number() OVER (PARTITION BY phase ORDER BY duration_ms) - 1 AS place
    FROM generation_performance_metrics
), measured AS (
    SELECT
        phase,
        count(*) AS execution_count,
        avg(duration_ms) AS avg_duration_ms,
        0.95 * (n - 1) AS at95,
        max(duration_ms) FILTER (WHERE place = CAST(0.95 * (n - 1) AS INTEGER)) AS low95,
        max(duration_ms) FILTER (WHERE place <= CAST(0.95 * (n - 1) AS INTEGER) + 1) AS high95,
        0.99 * (n - 1) AS at99,
        max(duration_ms) FILTER (WHERE place = CAST(0.99 * (n - 1) AS INTEGER)) AS low99,
        max(duration_ms) FILTER (WHERE place <= CAST(0.99 * (n - 1) AS INTEGER) + 1) AS high99,
        count(*) FILTER (WHERE cache_hit) AS cache_hits,
        count(*) FILTER (WHERE parallel_execution) AS parallel_executions,
        avg(worker_count) AS avg_workers
    FROM ordered
    GROUP BY phase, n
)
SELECT
    phase,
    execution_count,
    avg_duration_ms,
    low95 + (at95 - CAST(at95 AS INTEGER)) * (high95 - low95) AS p95_duration_ms,
    low99 + (at99 - CAST(at99 AS INTEGER)) * (high99 - low99) AS p99_duration_ms,
    cache_hits,
    parallel_executions,
    avg_workers
FROM measured;

-- One row an event type. Latency: queue wait + processing.
DROP VIEW IF EXISTS event_processing_health;
CREATE VIEW event_processing_health AS
WITH ordered AS (
    SELECT
        event_type, success, processing_duration_ms, queue_wait_time_ms, retry_count,
        coalesce(queue_wait_time_ms, 0) + processing_duration_ms AS latency_ms,
        count(*) OVER (PARTITION BY event_type) AS n,
        row_number() OVER (
            PARTITION BY event_type ORDER BY coalesce(queue_wait_time_ms, 0) + processing_duration_ms
        ) - 1 AS place
    FROM event_processing_metrics
), measured AS (
    SELECT
        event_type,
        count(*) AS total_events,
        count(*) FILTER (WHERE success) AS success_count,
        avg(processing_duration_ms) AS avg_duration_ms,
        avg(queue_wait_time_ms) AS avg_wait_ms,
        avg(latency_ms) AS avg_latency_ms,
        0.95 * (n - 1) AS at95,
        max(latency_ms) FILTER (WHERE place = CAST(0.95 * (n - 1) AS INTEGER)) AS low95,
        max(latency_ms) FILTER (WHERE place <= CAST(0.95 * (n - 1) AS INTEGER) + 1) AS high95,
        avg(retry_count) AS avg_retries
    FROM ordered
    GROUP BY event_type, n
)
SELECT
    event_type,
    total_events,
    success_count,
    total_events - success_count AS failure_count,
    CAST(success_count AS REAL) / total_events AS success_rate,
    avg_duration_ms,
    avg_wait_ms,
    avg_latency_ms,
    low95 + (at95 - CAST(at95 AS INTEGER)) * (high95 - low95) AS p95_latency_ms,
    avg_retries
FROM measured;

DROP VIEW IF EXISTS event_processing_health_by_source;
CREATE VIEW event_processing_health_by_source AS
SELECT
    event_type,
    event_source,
    count(*) AS total_events,
    count(*) FILTER (WHERE success) AS success_count,
    count(*) FILTER (WHERE NOT success) AS failure_count,
    round(CAST(count(*) FILTER (WHERE success) AS REAL) / count(*), 3) AS success_rate,
    round(avg(processing_duration_ms), 2) AS avg_duration_ms,
    round(avg(queue_wait_time_ms), 2) AS avg_wait_ms,
    round(avg(retry_count), 1) AS avg_retries
FROM event_processing_metrics
GROUP BY event_type, event_source
ORDER BY total_events DESC;

-- The last statement. A database whose revision or views differ from this file's has an older one.
DROP VIEW IF EXISTS schema_views;
CREATE VIEW schema_views AS SELECT 1 AS revision;
