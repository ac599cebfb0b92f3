-- The operations guide's five tables and its version row, number 6.
-- Guarded: applying this file twice changes nothing.
--
-- Durations are milliseconds with fractions (REAL): the work of one phase is often below one millisecond.
-- Timestamps are UTC text, 'YYYY-MM-DD HH:MM:SS.SSS', which SQLite's date functions read. Ids are UUIDs as text.

CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    execution_time_ms INTEGER,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

CREATE TABLE IF NOT EXISTS mixin_compatibility_matrix (
    id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
    mixin_a TEXT NOT NULL CHECK (length(mixin_a) <= 100),
    mixin_b TEXT NOT NULL CHECK (length(mixin_b) <= 100),
    node_type TEXT NOT NULL CHECK (node_type IN ('EFFECT', 'COMPUTE', 'REDUCER', 'ORCHESTRATOR')),
    compatibility_score REAL CHECK (compatibility_score BETWEEN 0.0 AND 1.0),
    success_count INTEGER DEFAULT 0,
    failure_count INTEGER DEFAULT 0,
    last_tested_at TEXT,
    conflict_reason TEXT,
    resolution_pattern TEXT,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    UNIQUE (mixin_a, mixin_b, node_type)
);

CREATE TABLE IF NOT EXISTS pattern_feedback_log (
    id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
    session_id TEXT NOT NULL,
    pattern_name TEXT NOT NULL CHECK (length(pattern_name) <= 100),
    detected_confidence REAL CHECK (detected_confidence BETWEEN 0.0 AND 1.0),
    actual_pattern TEXT CHECK (length(actual_pattern) <= 100),
    feedback_type TEXT NOT NULL CHECK (feedback_type IN ('correct', 'incorrect', 'partial', 'adjusted')),
    user_provided INTEGER DEFAULT 0,
    contract_json TEXT CHECK (contract_json IS NULL OR json_valid(contract_json)),
    -- Lists are JSON arrays here (text[] on PostgreSQL).
    capabilities_matched TEXT,
    false_positives TEXT,
    false_negatives TEXT,
    learning_weight REAL DEFAULT 1.0 CHECK (learning_weight BETWEEN 0.0 AND 1.0),
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

CREATE TABLE IF NOT EXISTS generation_performance_metrics (
    id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
    session_id TEXT NOT NULL,
    node_type TEXT NOT NULL CHECK (length(node_type) <= 50),
    phase TEXT NOT NULL
        CHECK (phase IN ('prd_analysis', 'template_load', 'code_gen', 'validation', 'persistence', 'total')),
    duration_ms REAL NOT NULL CHECK (duration_ms >= 0),
    memory_usage_mb INTEGER,
    cpu_percent REAL,
    cache_hit INTEGER DEFAULT 0,
    parallel_execution INTEGER DEFAULT 0,
    worker_count INTEGER DEFAULT 1 CHECK (worker_count >= 1),
    metadata TEXT CHECK (metadata IS NULL OR json_valid(metadata)),
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX IF NOT EXISTS idx_generation_performance_created_at
    ON generation_performance_metrics (created_at);

CREATE TABLE IF NOT EXISTS template_cache_metadata (
    id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
    template_name TEXT NOT NULL UNIQUE CHECK (length(template_name) <= 200),
    template_type TEXT NOT NULL CHECK (length(template_type) <= 50),
    cache_key TEXT NOT NULL CHECK (length(cache_key) <= 500),
    file_path TEXT NOT NULL,
    file_hash TEXT NOT NULL CHECK (length(file_hash) <= 64),
    size_bytes INTEGER,
    load_time_ms REAL,
    last_accessed_at TEXT,
    access_count INTEGER DEFAULT 0 CHECK (access_count >= 0),
    cache_hits INTEGER DEFAULT 0 CHECK (cache_hits >= 0),
    cache_misses INTEGER DEFAULT 0 CHECK (cache_misses >= 0),
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

CREATE TABLE IF NOT EXISTS event_processing_metrics (
    id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
    event_type TEXT NOT NULL CHECK (length(event_type) <= 100),
    event_source TEXT NOT NULL CHECK (length(event_source) <= 100),
    processing_duration_ms REAL NOT NULL CHECK (processing_duration_ms >= 0),
    queue_wait_time_ms REAL,
    success INTEGER NOT NULL,
    error_type TEXT CHECK (length(error_type) <= 100),
    error_message TEXT,
    retry_count INTEGER DEFAULT 0 CHECK (retry_count >= 0),
    batch_size INTEGER DEFAULT 1 CHECK (batch_size >= 1),
    -- Which event, and which attempt at it, counted from 1.
    event_id TEXT,
    attempt INTEGER DEFAULT 1 CHECK (attempt >= 1),
    trace_id TEXT,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE INDEX IF NOT EXISTS idx_event_processing_created_at
    ON event_processing_metrics (created_at);

INSERT OR IGNORE INTO schema_migrations (version, description, execution_time_ms)
VALUES (6, 'Phase 7: Add mixin learning, pattern feedback, performance metrics, template cache and event processing tables', 0);
