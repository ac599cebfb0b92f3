-- Views, triggers and functions over the tables of the numbered files: repeatable, applied after every change of them.
--
-- One transaction, under the lock of the migrations (see 0006). Views are replaced, not dropped, so that grants on them
-- stay: whoever renames or removes a column of one drops that view in a numbered file first. Every change of this file
-- raises the revision in its last view.
--
-- The views count what is in the tables now, whoever inserted or deleted it, exactly. Rates and times are not rounded,
-- except in the views ..._by_... that show the columns of the replaced system.

BEGIN;
DO $lock$ BEGIN PERFORM pg_advisory_xact_lock(730636066); END $lock$;

-- A pair of mixins is stored in the order of its bytes, and a count that is null counts as none, whoever inserts.
CREATE OR REPLACE FUNCTION normalise_mixin_pair() RETURNS trigger
LANGUAGE plpgsql AS $body$
DECLARE
    first text := NEW.mixin_a;
BEGIN
    IF first > NEW.mixin_b COLLATE "C" THEN
        NEW.mixin_a := NEW.mixin_b;
        NEW.mixin_b := first;
    END IF;
    NEW.success_count := coalesce(NEW.success_count, 0);
    NEW.failure_count := coalesce(NEW.failure_count, 0);
    RETURN NEW;
END
$body$;

DO $trigger$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = 'mixin_compatibility_matrix'::regclass AND tgname = 'normalise_mixin_pair'
    ) THEN
        CREATE TRIGGER normalise_mixin_pair BEFORE INSERT OR UPDATE ON mixin_compatibility_matrix
            FOR EACH ROW EXECUTE FUNCTION normalise_mixin_pair();
    END IF;
END
$trigger$;

-- Adds one test of a pair, in either order, and counts its score anew; the id of its row.
CREATE OR REPLACE FUNCTION update_mixin_compatibility(
    p_mixin_a varchar, p_mixin_b varchar, p_node_type varchar, p_success boolean,
    p_conflict_reason text DEFAULT NULL, p_resolution_pattern text DEFAULT NULL
) RETURNS uuid
LANGUAGE sql AS $body$
    INSERT INTO mixin_compatibility_matrix AS pair (mixin_a, mixin_b, node_type, compatibility_score, success_count,
        failure_count, last_tested_at, conflict_reason, resolution_pattern)
    VALUES (p_mixin_a, p_mixin_b, p_node_type, p_success::integer, p_success::integer, (NOT p_success)::integer, now(),
        p_conflict_reason, p_resolution_pattern)
    ON CONFLICT (mixin_a, mixin_b, node_type) DO UPDATE SET
        success_count = pair.success_count + excluded.success_count,
        failure_count = pair.failure_count + excluded.failure_count,
        compatibility_score = (pair.success_count + excluded.success_count)::numeric
            / (pair.success_count + pair.failure_count + 1),
        last_tested_at = now(),
        conflict_reason = coalesce(excluded.conflict_reason, pair.conflict_reason),
        resolution_pattern = coalesce(excluded.resolution_pattern, pair.resolution_pattern),
        updated_at = now()
    RETURNING id
$body$;

-- Stores what somebody said of a detected pattern; what a person said weighs double.
CREATE OR REPLACE FUNCTION record_pattern_feedback(
    p_session_id uuid, p_pattern_name varchar, p_detected_confidence numeric, p_actual_pattern varchar,
    p_feedback_type varchar, p_user_provided boolean DEFAULT false, p_contract_json jsonb DEFAULT NULL
) RETURNS uuid
LANGUAGE sql AS $body$
    INSERT INTO pattern_feedback_log (session_id, pattern_name, detected_confidence, actual_pattern, feedback_type,
        user_provided, contract_json, learning_weight)
    VALUES (p_session_id, p_pattern_name, p_detected_confidence, p_actual_pattern, p_feedback_type, p_user_provided,
        p_contract_json, CASE WHEN p_user_provided THEN 1.0 ELSE 0.5 END)
    RETURNING id
$body$;

-- One row a pair and node type.
CREATE OR REPLACE VIEW mixin_compatibility_summary AS
SELECT
    mixin_a, mixin_b, node_type,
    coalesce(compatibility_score::float8, success_count::float8 / nullif(success_count + failure_count, 0))
        AS compatibility_score,
    success_count, failure_count, success_count + failure_count AS total_tests,
    success_count::float8 / nullif(success_count + failure_count, 0) AS success_rate,
    last_tested_at, conflict_reason, resolution_pattern
FROM mixin_compatibility_matrix;

CREATE OR REPLACE VIEW mixin_compatibility_summary_by_node_type AS
SELECT
    node_type,
    count(*) AS total_combinations,
    round(avg(compatibility_score), 3) AS avg_compatibility,
    sum(success_count) AS total_successes,
    sum(failure_count) AS total_failures,
    round(sum(success_count)::numeric / nullif(sum(success_count) + sum(failure_count), 0), 3) AS success_rate
FROM mixin_compatibility_matrix
GROUP BY node_type
ORDER BY node_type;

-- One row a pattern. Precision: correct of those that were either correct or incorrect, which are its samples; nothing
-- where there are none. Partial and adjusted ones count in neither.
CREATE OR REPLACE VIEW pattern_feedback_analysis AS
SELECT
    pattern_name,
    count(*) AS feedback_count,
    count(*) FILTER (WHERE feedback_type = 'correct') AS correct_count,
    count(*) FILTER (WHERE feedback_type = 'incorrect') AS false_positive_count,
    count(*) FILTER (WHERE feedback_type = 'partial') AS partial_count,
    count(*) FILTER (WHERE feedback_type = 'adjusted') AS adjusted_count,
    count(*) FILTER (WHERE feedback_type IN ('correct', 'incorrect')) AS sample_count,
    count(*) FILTER (WHERE feedback_type = 'correct')::float8
        / nullif(count(*) FILTER (WHERE feedback_type IN ('correct', 'incorrect')), 0) AS "precision",
    avg(detected_confidence)::float8 AS avg_confidence,
    count(*) FILTER (WHERE user_provided) AS user_provided_count,
    avg(learning_weight)::float8 AS avg_learning_weight
FROM pattern_feedback_log
GROUP BY pattern_name;

CREATE OR REPLACE VIEW pattern_feedback_analysis_by_feedback_type AS
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

-- One row a template type that was used: the rate of one that was not would stand first here and last on SQLite.
CREATE OR REPLACE VIEW template_cache_efficiency AS
SELECT
    template_type,
    count(*) AS template_count,
    sum(cache_hits)::bigint AS total_hits,
    sum(cache_misses)::bigint AS total_misses,
    sum(cache_hits)::float8 / (sum(cache_hits) + sum(cache_misses))::float8 AS overall_hit_rate,
    round(sum(cache_hits) / (sum(cache_hits) + sum(cache_misses)), 3) AS hit_rate,
    avg(cache_hits)::float8 AS avg_cache_hits,
    avg(cache_misses)::float8 AS avg_cache_misses,
    avg(load_time_ms) AS avg_load_time_ms,
    sum(size_bytes)::float8 / 1048576 AS total_size_mb
FROM template_cache_metadata
GROUP BY template_type
HAVING sum(cache_hits) + sum(cache_misses) > 0;

-- The next two are exact over all rows without sorting them. A first pass counts the rows of each narrow slot of values,
-- which says in which slots the percentiles lie; a second reads the values of these slots only. What is between two
-- values lies on the line between them, as with percentile_cont (which sorts all rows, in one process).
-- `OFFSET '0'` lets the planner take the slots for the few that they are, so that both passes are parallel: it knows
-- nothing of the expression, and so quoted the zero is no limit to it. (`OFFSET 0` is one until later.)

-- One row a phase.
CREATE OR REPLACE VIEW performance_metrics_summary AS
WITH measured AS NOT MATERIALIZED (
    SELECT
        phase,
        duration_ms,
        floor(ln(least(greatest(duration_ms, 1e-6), 1e12)) * 64)::integer AS slot,
        cache_hit,
        parallel_execution,
        worker_count
    FROM generation_performance_metrics
    OFFSET '0'
), slots AS MATERIALIZED (
    SELECT
        phase,
        slot,
        count(*) AS n,
        sum(duration_ms) AS duration_ms,
        count(*) FILTER (WHERE cache_hit) AS cache_hits,
        count(*) FILTER (WHERE parallel_execution) AS parallel_executions,
        sum(worker_count) AS workers,
        count(worker_count) AS with_workers
    FROM measured
    GROUP BY 1, 2
), totals AS MATERIALIZED (
    SELECT
        phase,
        sum(n) AS n,
        floor(0.95 * (sum(n) - 1)) AS place95,
        floor(0.99 * (sum(n) - 1)) AS place99,
        sum(duration_ms) / sum(n)::float8 AS avg_duration_ms,
        sum(cache_hits)::bigint AS cache_hits,
        sum(parallel_executions)::bigint AS parallel_executions,
        sum(workers)::float8 / nullif(sum(with_workers), 0)::float8 AS avg_workers
    FROM slots
    GROUP BY phase
), wanted AS MATERIALIZED (
    SELECT phase, slot, start
    FROM (SELECT phase, slot, n, sum(n) OVER (PARTITION BY phase ORDER BY slot) - n AS start FROM slots) AS placed
    JOIN totals USING (phase)
    WHERE (start <= place95 + 1 AND start + placed.n > place95) OR (start <= place99 + 1 AND start + placed.n > place99)
), found AS (
    SELECT phase, slot, duration_ms, count(*) AS n
    FROM measured
    WHERE slot = ANY ((SELECT array_agg(slot) FROM wanted)::integer[])
        AND concat(slot, phase) = ANY ((SELECT array_agg(concat(slot, phase)) FROM wanted)::text[])
    GROUP BY 1, 2, 3
), placed AS (
    SELECT phase, duration_ms, start + sum(n) OVER (PARTITION BY phase, slot ORDER BY duration_ms) - n AS start
    FROM found JOIN wanted USING (phase, slot)
), bounds AS (
    SELECT
        phase,
        max(duration_ms) FILTER (WHERE start <= place95) AS low95,
        max(duration_ms) FILTER (WHERE start <= place95 + 1) AS high95,
        max(duration_ms) FILTER (WHERE start <= place99) AS low99,
        max(duration_ms) FILTER (WHERE start <= place99 + 1) AS high99
    FROM placed JOIN totals USING (phase)
    GROUP BY phase
)
SELECT
    phase,
    n::bigint AS execution_count,
    avg_duration_ms,
    low95 + (0.95 * (n - 1) - place95)::float8 * (high95 - low95) AS p95_duration_ms,
    low99 + (0.99 * (n - 1) - place99)::float8 * (high99 - low99) AS p99_duration_ms,
    cache_hits,
    parallel_executions,
    avg_workers
FROM totals JOIN bounds USING (phase);

-- One row an event type. Latency: queue wait + processing.
CREATE OR REPLACE VIEW event_processing_health AS
WITH measured AS NOT MATERIALIZED (
    SELECT
        event_type,
        coalesce(queue_wait_time_ms, 0) + processing_duration_ms AS latency_ms,
        floor(ln(least(greatest(coalesce(queue_wait_time_ms, 0) + processing_duration_ms, 1e-6), 1e12)) * 64)::integer
            AS slot,
        success,
        processing_duration_ms,
        queue_wait_time_ms,
        retry_count
    FROM event_processing_metrics
    OFFSET '0'
), slots AS MATERIALIZED (
    SELECT
        event_type,
        slot,
        count(*) AS n,
        count(*) FILTER (WHERE success) AS successes,
        sum(processing_duration_ms) AS processing_ms,
        sum(queue_wait_time_ms) AS wait_ms,
        count(queue_wait_time_ms) AS waits,
        sum(retry_count) AS retries,
        count(retry_count) AS with_retries
    FROM measured
    GROUP BY 1, 2
), totals AS MATERIALIZED (
    SELECT
        event_type,
        sum(n) AS n,
        floor(0.95 * (sum(n) - 1)) AS place,
        sum(successes) AS successes,
        sum(processing_ms) / sum(n)::float8 AS avg_duration_ms,
        sum(wait_ms) / nullif(sum(waits), 0)::float8 AS avg_wait_ms,
        (coalesce(sum(wait_ms), 0) + sum(processing_ms)) / sum(n)::float8 AS avg_latency_ms,
        sum(retries)::float8 / nullif(sum(with_retries), 0)::float8 AS avg_retries
    FROM slots
    GROUP BY event_type
), wanted AS MATERIALIZED (
    SELECT event_type, slot, start
    FROM (
        SELECT event_type, slot, n, sum(n) OVER (PARTITION BY event_type ORDER BY slot) - n AS start FROM slots
    ) AS placed
    JOIN totals USING (event_type)
    WHERE start <= place + 1 AND start + placed.n > place
), found AS (
    SELECT event_type, slot, latency_ms, count(*) AS n
    FROM measured
    WHERE slot = ANY ((SELECT array_agg(slot) FROM wanted)::integer[])
        AND concat(slot, event_type) = ANY ((SELECT array_agg(concat(slot, event_type)) FROM wanted)::text[])
    GROUP BY 1, 2, 3
), placed AS (
    SELECT event_type, latency_ms, start + sum(n) OVER (PARTITION BY event_type, slot ORDER BY latency_ms) - n AS start
    FROM found JOIN wanted USING (event_type, slot)
), bounds AS (
    SELECT
        event_type,
        max(latency_ms) FILTER (WHERE start <= place) AS low,
        max(latency_ms) FILTER (WHERE start <= place + 1) AS high
    FROM placed JOIN totals USING (event_type)
    GROUP BY event_type
)
SELECT
    event_type,
    n::bigint AS total_events,
    successes::bigint AS success_count,
    (n - successes)::bigint AS failure_count,
    successes::float8 / n::float8 AS success_rate,
    avg_duration_ms,
    avg_wait_ms,
    avg_latency_ms,
    low + (0.95 * (n - 1) - place)::float8 * (high - low) AS p95_latency_ms,
    avg_retries
FROM totals JOIN bounds USING (event_type);

CREATE OR REPLACE VIEW event_processing_health_by_source AS
SELECT
    event_type,
    event_source,
    count(*) AS total_events,
    count(*) FILTER (WHERE success) AS success_count,
    count(*) FILTER (WHERE NOT success) AS failure_count,
    round(count(*) FILTER (WHERE success)::numeric / count(*), 3) AS success_rate,
    round(avg(processing_duration_ms)::numeric, 2) AS avg_duration_ms,
    round(avg(queue_wait_time_ms)::numeric, 2) AS avg_wait_ms,
    round(avg(retry_count), 1) AS avg_retries
FROM event_processing_metrics
GROUP BY event_type, event_source
ORDER BY total_events DESC;

-- The last statement. A database whose revision or views differ from this file's has an older one.
CREATE OR REPLACE VIEW schema_views AS SELECT 1 AS revision;

COMMIT;
