-- A PostgreSQL database as the replaced system leaves it: version 6, whole milliseconds, its indexes, views and functions,
-- and rows of every kind. Some columns may be null there, and pairs of mixins stand in both orders.

CREATE TABLE schema_migrations (
    version int PRIMARY KEY,
    description text NOT NULL,
    execution_time_ms int,
    applied_at timestamptz DEFAULT current_timestamp
);
COMMENT ON TABLE schema_migrations IS 'what was applied';

CREATE TABLE mixin_compatibility_matrix (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    mixin_a varchar(100) NOT NULL,
    mixin_b varchar(100) NOT NULL,
    node_type varchar(50) NOT NULL,
    compatibility_score numeric(5,4) CHECK (compatibility_score >= 0.0 AND compatibility_score <= 1.0),
    success_count int DEFAULT 0,
    failure_count int DEFAULT 0,
    last_tested_at timestamptz,
    conflict_reason text,
    resolution_pattern text,
    created_at timestamptz DEFAULT current_timestamp,
    updated_at timestamptz DEFAULT current_timestamp,
    CONSTRAINT pair_once UNIQUE (mixin_a, mixin_b, node_type),
    CONSTRAINT known_node_type CHECK (node_type IN ('EFFECT', 'COMPUTE', 'REDUCER', 'ORCHESTRATOR'))
);
CREATE INDEX compat_score ON mixin_compatibility_matrix (compatibility_score DESC);
CREATE INDEX compat_node_type ON mixin_compatibility_matrix (node_type);
CREATE INDEX compat_mixins ON mixin_compatibility_matrix (mixin_a, mixin_b);
CREATE INDEX compat_updated ON mixin_compatibility_matrix (updated_at DESC);
COMMENT ON COLUMN mixin_compatibility_matrix.compatibility_score IS 'between 0 and 1';

CREATE TABLE pattern_feedback_log (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL,
    pattern_name varchar(100) NOT NULL,
    detected_confidence numeric(5,4) CHECK (detected_confidence IS NULL OR detected_confidence BETWEEN 0.0 AND 1.0),
    actual_pattern varchar(100),
    feedback_type varchar(50) NOT NULL,
    user_provided boolean DEFAULT false,
    contract_json jsonb,
    capabilities_matched text[],
    false_positives text[],
    false_negatives text[],
    learning_weight numeric(5,4) DEFAULT 1.0 CHECK (learning_weight BETWEEN 0.0 AND 1.0),
    created_at timestamptz DEFAULT current_timestamp,
    CONSTRAINT known_feedback CHECK (feedback_type IN ('correct', 'incorrect', 'partial', 'adjusted'))
);
CREATE INDEX feedback_session ON pattern_feedback_log (session_id);
CREATE INDEX feedback_pattern ON pattern_feedback_log (pattern_name);
CREATE INDEX feedback_user ON pattern_feedback_log (user_provided) WHERE user_provided = true;
CREATE INDEX feedback_contract ON pattern_feedback_log USING gin (contract_json);

CREATE TABLE generation_performance_metrics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL,
    node_type varchar(50) NOT NULL,
    phase varchar(50) NOT NULL,
    duration_ms int NOT NULL,
    memory_usage_mb int,
    cpu_percent numeric(5,2),
    cache_hit boolean DEFAULT false,
    parallel_execution boolean DEFAULT false,
    worker_count int DEFAULT 1,
    metadata jsonb,
    created_at timestamptz DEFAULT current_timestamp,
    CONSTRAINT duration_not_negative CHECK (duration_ms >= 0),
    CONSTRAINT some_worker CHECK (worker_count >= 1),
    CONSTRAINT known_phase
        CHECK (phase IN ('prd_analysis', 'template_load', 'code_gen', 'validation', 'persistence', 'total'))
);
CREATE INDEX performance_session ON generation_performance_metrics (session_id);
CREATE INDEX performance_duration ON generation_performance_metrics (duration_ms DESC);
CREATE INDEX performance_created ON generation_performance_metrics (created_at DESC);
CREATE INDEX performance_metadata ON generation_performance_metrics USING gin (metadata);

CREATE TABLE template_cache_metadata (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    template_name varchar(200) NOT NULL UNIQUE,
    template_type varchar(50) NOT NULL,
    cache_key varchar(500) NOT NULL,
    file_path text NOT NULL,
    file_hash varchar(64) NOT NULL,
    size_bytes int,
    load_time_ms int,
    last_accessed_at timestamptz,
    access_count int DEFAULT 0,
    cache_hits int DEFAULT 0,
    cache_misses int DEFAULT 0,
    created_at timestamptz DEFAULT current_timestamp,
    updated_at timestamptz DEFAULT current_timestamp,
    CONSTRAINT counts_not_negative CHECK (access_count >= 0 AND cache_hits >= 0 AND cache_misses >= 0),
    CONSTRAINT known_template_type CHECK (template_type IN ('node', 'contract', 'subcontract', 'mixin', 'test'))
);
CREATE INDEX cache_name ON template_cache_metadata (template_name);
CREATE INDEX cache_hits ON template_cache_metadata (cache_hits DESC);

CREATE TABLE event_processing_metrics (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    event_type varchar(100) NOT NULL,
    event_source varchar(100) NOT NULL,
    processing_duration_ms int NOT NULL,
    queue_wait_time_ms int,
    success boolean NOT NULL,
    error_type varchar(100),
    error_message text,
    retry_count int DEFAULT 0,
    batch_size int DEFAULT 1,
    created_at timestamptz DEFAULT current_timestamp,
    CONSTRAINT event_duration_not_negative CHECK (processing_duration_ms >= 0),
    CONSTRAINT retries_not_negative CHECK (retry_count >= 0),
    CONSTRAINT some_batch CHECK (batch_size >= 1)
);
CREATE INDEX event_type_index ON event_processing_metrics (event_type);
CREATE INDEX event_duration ON event_processing_metrics (processing_duration_ms DESC);
CREATE INDEX event_errors ON event_processing_metrics (error_type) WHERE error_type IS NOT NULL;
COMMENT ON TABLE event_processing_metrics IS 'one row an event';

CREATE VIEW mixin_compatibility_summary AS
    SELECT node_type, count(*) AS total_combinations, round(avg(compatibility_score), 3) AS avg_compatibility
    FROM mixin_compatibility_matrix GROUP BY node_type;
CREATE VIEW pattern_feedback_analysis AS
    SELECT pattern_name, feedback_type, count(*) AS feedback_count
    FROM pattern_feedback_log GROUP BY pattern_name, feedback_type;
CREATE VIEW performance_metrics_summary AS
    SELECT phase, count(*) AS execution_count, round(avg(duration_ms), 2) AS avg_duration_ms
    FROM generation_performance_metrics GROUP BY phase;
CREATE VIEW template_cache_efficiency AS
    SELECT template_type, count(*) AS template_count FROM template_cache_metadata GROUP BY template_type;
CREATE VIEW event_processing_health AS
    SELECT event_type, event_source, count(*) AS total_events
    FROM event_processing_metrics GROUP BY event_type, event_source;
COMMENT ON VIEW event_processing_health IS 'rates';

CREATE FUNCTION update_mixin_compatibility(
    a varchar, b varchar, kind varchar, success boolean, reason text DEFAULT NULL, resolution text DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql AS $body$ BEGIN RETURN NULL; END $body$;
CREATE FUNCTION record_pattern_feedback(
    session uuid, pattern varchar, confidence numeric, actual varchar, feedback varchar, from_user boolean DEFAULT false,
    contract jsonb DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql AS $body$ BEGIN RETURN NULL; END $body$;

INSERT INTO schema_migrations (version, description, execution_time_ms)
VALUES (6, 'Phase 7: Add mixin learning, pattern feedback, performance metrics, template caching, and event processing', 0);

-- After adoption: alpha and beta one row with 10 successes and 10 failures, score 0.5, its reason the newer one; the
-- pair of capitals in the order of its bytes (Zeta before alpha); null counts are 0.
INSERT INTO mixin_compatibility_matrix (mixin_a, mixin_b, node_type, compatibility_score, success_count, failure_count,
    last_tested_at, conflict_reason, resolution_pattern, created_at)
VALUES
    ('alpha', 'beta', 'EFFECT', 0.9, 9, 1, '2025-01-01 00:00Z', 'older', 'wrap', '2024-01-01 00:00Z'),
    ('beta', 'alpha', 'EFFECT', 0.1, 1, 9, '2025-02-01 00:00Z', 'newer', NULL, '2024-02-01 00:00Z'),
    ('beta', 'alpha', 'COMPUTE', 0.25, 1, 3, '2025-02-01 00:00Z', NULL, NULL, '2024-02-01 00:00Z'),
    ('alpha', 'Zeta', 'EFFECT', NULL, NULL, NULL, NULL, NULL, NULL, NULL);

INSERT INTO pattern_feedback_log (session_id, pattern_name, detected_confidence, feedback_type, contract_json, created_at)
VALUES
    ('00000000-0000-4000-8000-000000000001', 'service', 0.9, 'correct', '{"name": "a"}', '2025-01-01 00:00Z'),
    ('00000000-0000-4000-8000-000000000001', 'service', NULL, 'incorrect', NULL, NULL);

INSERT INTO generation_performance_metrics (session_id, node_type, phase, duration_ms, cache_hit, worker_count, created_at)
VALUES
    ('00000000-0000-4000-8000-000000000001', 'EFFECT', 'total', 1200, true, 2, '2025-01-01 00:10Z'),
    ('00000000-0000-4000-8000-000000000001', 'EFFECT', 'total', 0, NULL, NULL, '2025-01-01 00:20Z'),
    ('00000000-0000-4000-8000-000000000001', 'EFFECT', 'code_gen', 700, false, 1, NULL);

INSERT INTO template_cache_metadata (template_name, template_type, cache_key, file_path, file_hash, size_bytes,
    load_time_ms, access_count, cache_hits, cache_misses)
VALUES ('EFFECT_template', 'node', 'effect', '/templates/effect.py', 'abc', 2048, 12, 10, 7, 3);

INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, queue_wait_time_ms, success,
    error_type, retry_count, created_at)
VALUES
    ('codegen.request', 'kafka', 150, 20, true, NULL, 0, '2025-01-01 00:10Z'),
    ('codegen.request', 'kafka', 250, NULL, false, 'timeout', 2, '2025-01-01 00:50Z'),
    ('codegen.request', 'kafka', 90, 10, true, NULL, NULL, NULL);
