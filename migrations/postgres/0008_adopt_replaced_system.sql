-- A database of the replaced system becomes ours with all its rows: its version row 6 is there, so 0006 left it alone.
-- Whole milliseconds become fractional ones and missing columns are added; its constraints, indexes and defaults become
-- those of 0006; its views and functions go, views.sql makes ours. What users added stays. (A table is rewritten once,
-- and locked meanwhile.) Whoever made the tables, pairs of mixins that stand in both orders become one row with the sum
-- of counts.
-- Guarded and in one transaction: see 0006.

DO $migration$
DECLARE
    began timestamptz := clock_timestamp();
    found record;
BEGIN
    PERFORM pg_advisory_xact_lock(730636066);
    IF EXISTS (SELECT FROM schema_migrations WHERE version = 8) THEN
        RETURN;
    END IF;

    IF EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'event_processing_metrics'::regclass AND attname = 'processing_duration_ms'
            AND atttypid = 'integer'::regtype
    ) THEN
        -- Plain drops: a view of somebody else's on top of one of these stops the migration, with its name.
        SET LOCAL client_min_messages = warning;
        DROP VIEW IF EXISTS mixin_compatibility_summary, pattern_feedback_analysis, performance_metrics_summary,
            template_cache_efficiency, event_processing_health;
        FOR found IN
            SELECT oid::regprocedure AS name FROM pg_proc
            WHERE proname IN ('update_mixin_compatibility', 'record_pattern_feedback')
                AND pg_function_is_visible(oid)
        LOOP
            EXECUTE format('DROP FUNCTION %s', found.name);
        END LOOP;
        -- Its constraints and indexes are known by what they say, as names differ; whatever else is there stays. (Casts,
        -- brackets and spaces are left out of constraints: they depend on how a rule was typed.)
        FOR found IN
            SELECT conrelid::regclass AS owner, conname AS name FROM pg_constraint
            WHERE contype IN ('c', 'u') AND (
                conrelid,
                regexp_replace(pg_get_constraintdef(oid), '::[a-z ]+(\[\])?|[() ]|\.0+\M', '', 'g')
            ) IN (
                ('mixin_compatibility_matrix'::regclass, 'UNIQUEmixin_a,mixin_b,node_type'),
                ('mixin_compatibility_matrix'::regclass,
                    'CHECKnode_type=ANYARRAY[''EFFECT'',''COMPUTE'',''REDUCER'',''ORCHESTRATOR'']'),
                ('mixin_compatibility_matrix'::regclass, 'CHECKcompatibility_score>=0ANDcompatibility_score<=1'),
                ('pattern_feedback_log'::regclass,
                    'CHECKfeedback_type=ANYARRAY[''correct'',''incorrect'',''partial'',''adjusted'']'),
                ('pattern_feedback_log'::regclass, 'CHECKdetected_confidence>=0ANDdetected_confidence<=1'),
                ('pattern_feedback_log'::regclass,
                    'CHECKdetected_confidenceISNULLORdetected_confidence>=0ANDdetected_confidence<=1'),
                ('pattern_feedback_log'::regclass, 'CHECKlearning_weight>=0ANDlearning_weight<=1'),
                ('generation_performance_metrics'::regclass, 'CHECKphase=ANYARRAY[''prd_analysis'','
                    '''template_load'',''code_gen'',''validation'',''persistence'',''total'']'),
                ('generation_performance_metrics'::regclass, 'CHECKduration_ms>=0'),
                ('generation_performance_metrics'::regclass, 'CHECKworker_count>=1'),
                ('template_cache_metadata'::regclass, 'UNIQUEtemplate_name'),
                ('template_cache_metadata'::regclass,
                    'CHECKtemplate_type=ANYARRAY[''node'',''contract'',''subcontract'',''mixin'',''test'']'),
                ('template_cache_metadata'::regclass, 'CHECKaccess_count>=0ANDcache_hits>=0ANDcache_misses>=0'),
                ('template_cache_metadata'::regclass, 'CHECKaccess_count>=0'),
                ('template_cache_metadata'::regclass, 'CHECKcache_hits>=0'),
                ('template_cache_metadata'::regclass, 'CHECKcache_misses>=0'),
                ('event_processing_metrics'::regclass, 'CHECKprocessing_duration_ms>=0'),
                ('event_processing_metrics'::regclass, 'CHECKretry_count>=0'),
                ('event_processing_metrics'::regclass, 'CHECKbatch_size>=1')
            )
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.owner, found.name);
        END LOOP;
        FOR found IN
            SELECT indexrelid::regclass AS name FROM pg_index
            WHERE NOT indisunique AND (indrelid, substring(pg_get_indexdef(indexrelid) FROM ' USING (.*)')) IN (
                ('mixin_compatibility_matrix'::regclass, 'btree (compatibility_score DESC)'),
                ('mixin_compatibility_matrix'::regclass, 'btree (node_type)'),
                ('mixin_compatibility_matrix'::regclass, 'btree (mixin_a, mixin_b)'),
                ('mixin_compatibility_matrix'::regclass, 'btree (updated_at DESC)'),
                ('pattern_feedback_log'::regclass, 'btree (session_id)'),
                ('pattern_feedback_log'::regclass, 'btree (pattern_name)'),
                ('pattern_feedback_log'::regclass, 'btree (feedback_type)'),
                ('pattern_feedback_log'::regclass, 'btree (created_at DESC)'),
                ('pattern_feedback_log'::regclass, 'btree (user_provided) WHERE (user_provided = true)'),
                ('pattern_feedback_log'::regclass, 'btree (user_provided) WHERE user_provided'),
                ('pattern_feedback_log'::regclass, 'gin (contract_json)'),
                ('generation_performance_metrics'::regclass, 'btree (session_id)'),
                ('generation_performance_metrics'::regclass, 'btree (phase)'),
                ('generation_performance_metrics'::regclass, 'btree (duration_ms DESC)'),
                ('generation_performance_metrics'::regclass, 'btree (node_type)'),
                ('generation_performance_metrics'::regclass, 'btree (cache_hit) WHERE (cache_hit = true)'),
                ('generation_performance_metrics'::regclass, 'btree (cache_hit) WHERE cache_hit'),
                ('generation_performance_metrics'::regclass,
                    'btree (parallel_execution) WHERE (parallel_execution = true)'),
                ('generation_performance_metrics'::regclass, 'btree (parallel_execution) WHERE parallel_execution'),
                ('generation_performance_metrics'::regclass, 'btree (created_at DESC)'),
                ('generation_performance_metrics'::regclass, 'gin (metadata)'),
                ('template_cache_metadata'::regclass, 'btree (template_name)'),
                ('template_cache_metadata'::regclass, 'btree (template_type)'),
                ('template_cache_metadata'::regclass, 'btree (last_accessed_at DESC)'),
                ('template_cache_metadata'::regclass, 'btree (cache_hits DESC)'),
                ('template_cache_metadata'::regclass, 'btree (file_hash)'),
                ('event_processing_metrics'::regclass, 'btree (event_type)'),
                ('event_processing_metrics'::regclass, 'btree (event_source)'),
                ('event_processing_metrics'::regclass, 'btree (success)'),
                ('event_processing_metrics'::regclass, 'btree (created_at DESC)'),
                ('event_processing_metrics'::regclass, 'btree (processing_duration_ms DESC)'),
                ('event_processing_metrics'::regclass, 'btree (error_type) WHERE (error_type IS NOT NULL)')
            )
        LOOP
            EXECUTE format('DROP INDEX %s', found.name);
        END LOOP;

        UPDATE mixin_compatibility_matrix SET created_at = coalesce(created_at, updated_at, now()),
            updated_at = coalesce(updated_at, created_at, now())
        WHERE created_at IS NULL OR updated_at IS NULL;
        ALTER TABLE mixin_compatibility_matrix
            ALTER id SET DEFAULT gen_random_uuid(),
            ALTER success_count SET DEFAULT 0,
            ALTER failure_count SET DEFAULT 0,
            ALTER created_at SET DEFAULT now(), ALTER created_at SET NOT NULL,
            ALTER updated_at SET DEFAULT now(), ALTER updated_at SET NOT NULL;
        ALTER TABLE mixin_compatibility_matrix
            ADD CONSTRAINT mixin_compatibility_matrix_unique UNIQUE (mixin_a, mixin_b, node_type),
            ADD CONSTRAINT mixin_compatibility_matrix_node_type_check
                CHECK (node_type IN ('EFFECT', 'COMPUTE', 'REDUCER', 'ORCHESTRATOR')),
            ADD CONSTRAINT mixin_compatibility_matrix_score_check CHECK (compatibility_score BETWEEN 0 AND 1);

        UPDATE pattern_feedback_log SET created_at = now() WHERE created_at IS NULL;
        ALTER TABLE pattern_feedback_log
            ALTER id SET DEFAULT gen_random_uuid(),
            ALTER user_provided SET DEFAULT false,
            ALTER learning_weight SET DEFAULT 1.0,
            ALTER created_at SET DEFAULT now(), ALTER created_at SET NOT NULL,
            ADD CONSTRAINT pattern_feedback_log_type_check
                CHECK (feedback_type IN ('correct', 'incorrect', 'partial', 'adjusted')),
            ADD CONSTRAINT pattern_feedback_log_confidence_check CHECK (detected_confidence BETWEEN 0 AND 1),
            ADD CONSTRAINT pattern_feedback_log_weight_check CHECK (learning_weight BETWEEN 0 AND 1);
        CREATE INDEX idx_pattern_feedback_created ON pattern_feedback_log (created_at);

        UPDATE generation_performance_metrics SET created_at = now() WHERE created_at IS NULL;
        ALTER TABLE generation_performance_metrics
            ALTER id SET DEFAULT gen_random_uuid(),
            ALTER duration_ms TYPE double precision,
            ALTER cache_hit SET DEFAULT false,
            ALTER parallel_execution SET DEFAULT false,
            ALTER worker_count SET DEFAULT 1,
            ALTER created_at SET DEFAULT now(), ALTER created_at SET NOT NULL,
            ADD CONSTRAINT generation_performance_metrics_phase_check
                CHECK (phase IN ('prd_analysis', 'template_load', 'code_gen', 'validation', 'persistence', 'total')),
            ADD CONSTRAINT generation_performance_metrics_duration_check CHECK (duration_ms >= 0),
            ADD CONSTRAINT generation_performance_metrics_workers_check CHECK (worker_count >= 1);
        CREATE INDEX idx_generation_performance_created_at ON generation_performance_metrics (created_at);

        UPDATE template_cache_metadata SET created_at = coalesce(created_at, updated_at, now()),
            updated_at = coalesce(updated_at, created_at, now())
        WHERE created_at IS NULL OR updated_at IS NULL;
        -- Its list of template types (node, contract, subcontract, mixin, test) goes: ours are PACK/KIND.
        ALTER TABLE template_cache_metadata
            ALTER id SET DEFAULT gen_random_uuid(),
            ALTER size_bytes TYPE bigint,
            ALTER load_time_ms TYPE double precision,
            ALTER access_count TYPE bigint, ALTER access_count SET DEFAULT 0,
            ALTER cache_hits TYPE bigint, ALTER cache_hits SET DEFAULT 0,
            ALTER cache_misses TYPE bigint, ALTER cache_misses SET DEFAULT 0,
            ALTER created_at SET DEFAULT now(), ALTER created_at SET NOT NULL,
            ALTER updated_at SET DEFAULT now(), ALTER updated_at SET NOT NULL,
            ADD CONSTRAINT template_cache_metadata_name_unique UNIQUE (template_name),
            ADD CONSTRAINT template_cache_metadata_counts_check
                CHECK (access_count >= 0 AND cache_hits >= 0 AND cache_misses >= 0);

        UPDATE event_processing_metrics SET created_at = now() WHERE created_at IS NULL;
        ALTER TABLE event_processing_metrics
            ALTER id SET DEFAULT gen_random_uuid(),
            ALTER processing_duration_ms TYPE double precision,
            ALTER queue_wait_time_ms TYPE double precision,
            ALTER retry_count SET DEFAULT 0,
            ALTER batch_size SET DEFAULT 1,
            ALTER created_at SET DEFAULT now(), ALTER created_at SET NOT NULL,
            ADD event_id uuid,
            ADD attempt integer DEFAULT 1,
            ADD trace_id text,
            ADD CONSTRAINT event_processing_metrics_duration_check CHECK (processing_duration_ms >= 0),
            ADD CONSTRAINT event_processing_metrics_retry_check CHECK (retry_count >= 0),
            ADD CONSTRAINT event_processing_metrics_batch_check CHECK (batch_size >= 1),
            ADD CONSTRAINT event_processing_metrics_attempt_check CHECK (attempt >= 1);
        -- The replaced system counted tries that failed before; ours numbers the attempts.
        UPDATE event_processing_metrics SET attempt = retry_count + 1 WHERE retry_count > 0;
        CREATE INDEX idx_event_processing_created_at ON event_processing_metrics (created_at);
    END IF;

    -- Pairs are stored in one order, that of their bytes, whoever inserts: a trigger in views.sql sees to it.
    -- One row for each pair, the oldest; reasons and resolutions are the newest that anybody gave.
    CREATE TEMPORARY TABLE merged_pairs ON COMMIT DROP AS
    SELECT
        (array_agg(id ORDER BY created_at, id))[1] AS id,
        least(mixin_a COLLATE "C", mixin_b COLLATE "C") AS first,
        greatest(mixin_a COLLATE "C", mixin_b COLLATE "C") AS second,
        sum(coalesce(success_count, 0)) AS successes,
        sum(coalesce(failure_count, 0)) AS failures,
        max(compatibility_score) FILTER (WHERE compatibility_score IS NOT NULL) AS score,
        count(*) AS members,
        max(last_tested_at) AS tested,
        (array_agg(conflict_reason ORDER BY last_tested_at DESC NULLS LAST)
            FILTER (WHERE conflict_reason IS NOT NULL))[1] AS reason,
        (array_agg(resolution_pattern ORDER BY last_tested_at DESC NULLS LAST)
            FILTER (WHERE resolution_pattern IS NOT NULL))[1] AS resolution,
        min(created_at) AS created,
        max(updated_at) AS updated
    FROM mixin_compatibility_matrix
    GROUP BY 2, 3, node_type;
    DELETE FROM mixin_compatibility_matrix WHERE id NOT IN (SELECT id FROM merged_pairs);
    UPDATE mixin_compatibility_matrix AS pair SET
        mixin_a = first, mixin_b = second, success_count = successes, failure_count = failures,
        compatibility_score = CASE
            WHEN members = 1 THEN score
            ELSE coalesce(successes::numeric / nullif(successes + failures, 0), score) END,
        last_tested_at = tested, conflict_reason = reason, resolution_pattern = resolution,
        created_at = created, updated_at = updated
    FROM merged_pairs WHERE merged_pairs.id = pair.id;
    DROP TABLE merged_pairs;
    ALTER TABLE mixin_compatibility_matrix ADD CONSTRAINT mixin_compatibility_matrix_order_check
        CHECK (mixin_a <= mixin_b COLLATE "C");

    -- At the very end: every run reads this table first, and would wait for all of the above.
    IF (
        SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
        WHERE adrelid = 'schema_migrations'::regclass AND attname = 'applied_at'
    ) IS DISTINCT FROM 'now()' THEN
        ALTER TABLE schema_migrations ALTER applied_at SET DEFAULT now();
    END IF;
    INSERT INTO schema_migrations (version, description, execution_time_ms)
    VALUES (
        8, 'A database of the replaced system becomes ours', extract(epoch FROM clock_timestamp() - began) * 1000
    );
END
$migration$;
