-- The operations guide's five tables and its version row, number 6.
--
-- How every numbered file here works: it is one DO statement, so it is one transaction whoever sends it (`psql -f`, or
-- the service in one go); it waits for any other migration of this database by an advisory lock; its version row guards
-- it, so that applying it twice changes nothing. Only SQL of PostgreSQL 12 (the oldest that is supported) is used, no
-- psql commands. Functions, triggers and views are in `views.sql`, which is applied after every change.
--
-- Durations are milliseconds with fractions: the work of one phase is often below one millisecond. Columns stand in the
-- order of the replaced system, ours behind them, so that a database that it left (see 0008) ends with the same schema.

DO $migration$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    PERFORM pg_advisory_xact_lock(730636066);
    IF to_regclass('schema_migrations') IS NULL THEN
        CREATE TABLE schema_migrations (
            version integer PRIMARY KEY,
            description text NOT NULL,
            execution_time_ms integer,
            applied_at timestamptz DEFAULT now()
        );
    END IF;
    IF EXISTS (SELECT FROM schema_migrations WHERE version = 6) THEN
        RETURN;
    END IF;
    -- Part of the server since PostgreSQL 13. On 12 the extension needs a superuser, once.
    IF to_regprocedure('gen_random_uuid()') IS NULL THEN
        CREATE EXTENSION IF NOT EXISTS pgcrypto;
    END IF;

    CREATE TABLE mixin_compatibility_matrix (
        id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
        mixin_a varchar(100) NOT NULL,
        mixin_b varchar(100) NOT NULL,
        node_type varchar(50) NOT NULL,
        compatibility_score numeric(5,4),
        success_count integer DEFAULT 0,
        failure_count integer DEFAULT 0,
        last_tested_at timestamptz,
        conflict_reason text,
        resolution_pattern text,
        created_at timestamptz DEFAULT now() NOT NULL,
        updated_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT mixin_compatibility_matrix_unique UNIQUE (mixin_a, mixin_b, node_type),
        CONSTRAINT mixin_compatibility_matrix_node_type_check
            CHECK (node_type IN ('EFFECT', 'COMPUTE', 'REDUCER', 'ORCHESTRATOR')),
        CONSTRAINT mixin_compatibility_matrix_score_check CHECK (compatibility_score BETWEEN 0 AND 1)
    );

    CREATE TABLE pattern_feedback_log (
        id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
        session_id uuid NOT NULL,
        pattern_name varchar(100) NOT NULL,
        detected_confidence numeric(5,4),
        actual_pattern varchar(100),
        feedback_type varchar(50) NOT NULL,
        user_provided boolean DEFAULT false,
        contract_json jsonb,
        capabilities_matched text[],
        false_positives text[],
        false_negatives text[],
        learning_weight numeric(5,4) DEFAULT 1.0,
        created_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT pattern_feedback_log_type_check
            CHECK (feedback_type IN ('correct', 'incorrect', 'partial', 'adjusted')),
        CONSTRAINT pattern_feedback_log_confidence_check CHECK (detected_confidence BETWEEN 0 AND 1),
        CONSTRAINT pattern_feedback_log_weight_check CHECK (learning_weight BETWEEN 0 AND 1)
    );
    CREATE INDEX idx_pattern_feedback_created ON pattern_feedback_log (created_at);

    -- Of the indexes of the replaced system the two tables below keep none but `created_at`, whose new keys all go to
    -- its right edge, as those of the primary key do (the writer's ids are UUIDs of version 7). Those on duration,
    -- session and metadata take a random place for every row, which costs more with every row that is there; those on
    -- event type, source, success, phase, node type and flags have so few values that no reader gains by them. (With
    -- those of the events, a batch of 1,000 rows took 1.9 times as long into an empty table and 3 times into ten million
    -- rows; without them it takes the same into both.)
    CREATE TABLE generation_performance_metrics (
        id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
        session_id uuid NOT NULL,
        node_type varchar(50) NOT NULL,
        phase varchar(50) NOT NULL,
        duration_ms double precision NOT NULL,
        memory_usage_mb integer,
        cpu_percent numeric(5,2),
        cache_hit boolean DEFAULT false,
        parallel_execution boolean DEFAULT false,
        worker_count integer DEFAULT 1,
        metadata jsonb,
        created_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT generation_performance_metrics_phase_check
            CHECK (phase IN ('prd_analysis', 'template_load', 'code_gen', 'validation', 'persistence', 'total')),
        CONSTRAINT generation_performance_metrics_duration_check CHECK (duration_ms >= 0),
        CONSTRAINT generation_performance_metrics_workers_check CHECK (worker_count >= 1)
    );
    CREATE INDEX idx_generation_performance_created_at ON generation_performance_metrics (created_at);

    CREATE TABLE template_cache_metadata (
        id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
        template_name varchar(200) NOT NULL,
        template_type varchar(50) NOT NULL,
        cache_key varchar(500) NOT NULL,
        file_path text NOT NULL,
        file_hash varchar(64) NOT NULL,
        size_bytes bigint,
        load_time_ms double precision,
        last_accessed_at timestamptz,
        access_count bigint DEFAULT 0,
        cache_hits bigint DEFAULT 0,
        cache_misses bigint DEFAULT 0,
        created_at timestamptz DEFAULT now() NOT NULL,
        updated_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT template_cache_metadata_name_unique UNIQUE (template_name),
        CONSTRAINT template_cache_metadata_counts_check
            CHECK (access_count >= 0 AND cache_hits >= 0 AND cache_misses >= 0)
    );

    CREATE TABLE event_processing_metrics (
        id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
        event_type varchar(100) NOT NULL,
        event_source varchar(100) NOT NULL,
        processing_duration_ms double precision NOT NULL,
        queue_wait_time_ms double precision,
        success boolean NOT NULL,
        error_type varchar(100),
        error_message text,
        retry_count integer DEFAULT 0,
        batch_size integer DEFAULT 1,
        created_at timestamptz DEFAULT now() NOT NULL,
        -- Which event, and which attempt at it, counted from 1.
        event_id uuid,
        attempt integer DEFAULT 1,
        trace_id text,
        CONSTRAINT event_processing_metrics_duration_check CHECK (processing_duration_ms >= 0),
        CONSTRAINT event_processing_metrics_retry_check CHECK (retry_count >= 0),
        CONSTRAINT event_processing_metrics_batch_check CHECK (batch_size >= 1),
        CONSTRAINT event_processing_metrics_attempt_check CHECK (attempt >= 1)
    );
    CREATE INDEX idx_event_processing_created_at ON event_processing_metrics (created_at);

    INSERT INTO schema_migrations (version, description, execution_time_ms)
    VALUES (
        6,
        'Phase 7: Add mixin learning, pattern feedback, performance metrics, template cache and event processing tables',
        extract(epoch FROM clock_timestamp() - began) * 1000
    );
END
$migration$;
