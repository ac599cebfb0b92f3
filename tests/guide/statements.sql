-- The 46 statements of the operations guide, as it prints them: 30 in its SQL blocks, 16 inside its shell blocks. They run
-- in this order on a database `omninode_bridge` with the rows of fixture.sql; a statement that changes rows changes them
-- for those behind it. The clean-up statements use the fixture's rows of 89 and 91 days and of 400 days.
--
-- A block is:   `-- guide LINES: title` (or `-- corrected LINES: title`, which is not one of the 46),
--               `-- on: ` who understands it (`psql`: a command of psql only),
--               `-- columns: ` which columns are compared, by name; without it all are,
--               the statement,
--               `-- expect ` and one of: `rows`, `rows in any order` (each `--   ` and cells as `psql -At` prints them;
--               cells that are numbers on both sides are compared as numbers, to a billionth), `count N` (rows changed),
--               `match REGEX` (its only cell), `error SQLSTATE: message`, `done`.
-- Blocks stand apart by an empty line; the first line with `-- guide` or `-- corrected` starts one.

-- guide 53: Create the database
-- on: postgres
CREATE DATABASE omninode_bridge;
-- expect done

-- guide 61: Verify the migration
-- on: postgres sqlite
SELECT version, description FROM schema_migrations WHERE version = 6;
-- expect rows
--   6|Phase 7: Add mixin learning, pattern feedback, performance metrics, template cache and event processing tables

-- guide 441-442: Template cache efficiency
-- on: postgres sqlite
-- columns: template_type, template_count, total_hits, total_misses, overall_hit_rate
SELECT * FROM template_cache_efficiency
ORDER BY overall_hit_rate DESC;
-- expect rows
--   custom/py|1|20|0|1
--   onex/py|2|95|15|0.8636363636363636
--   onex/toml|1|30|10|0.75
--   onex/yaml|1|6|6|0.5

-- guide 445-454: Performance summary of the last hour
-- on: postgres
SELECT
    node_type,
    phase,
    AVG(duration_ms) as avg_duration,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) as p95_duration,
    COUNT(*) as total_operations
FROM generation_performance_metrics
WHERE created_at > NOW() - INTERVAL '1 hour'
GROUP BY node_type, phase
ORDER BY avg_duration DESC;
-- expect rows
--   ORCHESTRATOR|total|250|250|1
--   COMPUTE|code_gen|25|38.5|4
--   EFFECT|code_gen|0.11|0.2|21

-- guide 457-459: Mixin compatibility summary
-- on: postgres sqlite
-- columns: mixin_a, mixin_b, node_type, compatibility_score, success_count, failure_count
SELECT * FROM mixin_compatibility_summary
WHERE compatibility_score < 0.80  -- Low compatibility
ORDER BY failure_count DESC;
-- expect rows
--   caching|retry|EFFECT|0.79|79|21
--   caching|retry|REDUCER|0.5|3|3
--   old_c|old_d|EFFECT|0.6|3|2
--   old_a|old_b|EFFECT|0.75|3|1

-- guide 462-464: Pattern feedback analysis
-- on: postgres sqlite
-- columns: pattern_name, sample_count, precision, false_positive_count
SELECT * FROM pattern_feedback_analysis
WHERE precision < 0.85  -- Low precision patterns
ORDER BY false_positive_count DESC;
-- expect rows
--   saga|4|0.25|3
--   service|10|0.8|2

-- guide 467-468: Event processing health
-- on: postgres sqlite
-- columns: event_type, total_events, success_count, failure_count, success_rate, avg_duration_ms, avg_wait_ms, p95_latency_ms
SELECT * FROM event_processing_health
ORDER BY p95_latency_ms DESC;
-- expect rows
--   node.slow|5|3|2|0.6|100|150|340
--   node.generate|21|20|1|0.9523809523809523|11|0.5|20.5
--   node.old|2|2|0|1|4|3|7
--   node.idle|2|2|0|1|3||3.9

-- guide 475-482: Cache hit rate by template type
-- on: postgres
SELECT
    template_type,
    SUM(cache_hits) as total_hits,
    SUM(cache_misses) as total_misses,
    ROUND(SUM(cache_hits)::numeric / NULLIF(SUM(cache_hits) + SUM(cache_misses), 0), 4) as hit_rate
FROM template_cache_metadata
GROUP BY template_type
ORDER BY hit_rate DESC;
-- expect rows
--   onex/md|0|0|
--   custom/py|20|0|1.0000
--   onex/py|95|15|0.8636
--   onex/toml|30|10|0.7500
--   onex/yaml|6|6|0.5000

-- guide 485-494: Most accessed templates
-- on: postgres sqlite
-- columns: template_name, template_type, access_count, cache_hits, cache_misses
SELECT
    template_name,
    template_type,
    access_count,
    cache_hits,
    cache_misses,
    last_accessed_at
FROM template_cache_metadata
ORDER BY access_count DESC
LIMIT 10;
-- expect rows
--   onex/a.py.j2|onex/py|100|90|10
--   onex/e.toml.j2|onex/toml|40|30|10
--   custom/f.py.j2|custom/py|20|20|0
--   onex/c.yaml.j2|onex/yaml|12|6|6
--   onex/b.py.j2|onex/py|10|5|5
--   onex/d.md.j2|onex/md|0|0|0

-- guide 497-506: Templates with low hit rates
-- on: postgres
SELECT
    template_name,
    template_type,
    cache_hits,
    cache_misses,
    ROUND(cache_hits::numeric / NULLIF(cache_hits + cache_misses, 0), 4) as hit_rate
FROM template_cache_metadata
WHERE cache_hits + cache_misses > 10  -- Minimum sample size
  AND cache_hits::numeric / NULLIF(cache_hits + cache_misses, 0) < 0.80
ORDER BY hit_rate ASC;
-- expect rows
--   onex/c.yaml.j2|onex/yaml|6|6|0.5000
--   onex/e.toml.j2|onex/toml|30|10|0.7500

-- guide 574: Database connections
-- on: postgres
SELECT count(*) as connections FROM pg_stat_activity WHERE datname = 'omninode_bridge';
-- expect match ^[1-9][0-9]*$

-- guide 578: Database size
-- on: postgres
SELECT pg_size_pretty(pg_database_size('omninode_bridge'));
-- expect match ^[1-9][0-9]* (kB|MB|GB)$

-- guide 582-585: Table sizes
-- on: postgres
-- columns: schemaname, tablename
SELECT schemaname, tablename, pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) AS size
      FROM pg_tables
      WHERE tablename IN ('mixin_compatibility_matrix', 'pattern_feedback_log', 'generation_performance_metrics', 'template_cache_metadata', 'event_processing_metrics')
      ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC;
-- expect rows in any order
--   public|mixin_compatibility_matrix
--   public|pattern_feedback_log
--   public|generation_performance_metrics
--   public|template_cache_metadata
--   public|event_processing_metrics

-- guide 640-648: Sequential against parallel
-- on: postgres
SELECT
    node_type,
    parallel_execution,
    AVG(duration_ms) as avg_duration,
    COUNT(*) as operations
FROM generation_performance_metrics
WHERE created_at > NOW() - INTERVAL '1 hour'
GROUP BY node_type, parallel_execution
ORDER BY parallel_execution DESC, avg_duration DESC;
-- expect rows
--   ORCHESTRATOR|t|250|1
--   EFFECT|t|0.11|21
--   COMPUTE|f|25|4

-- guide 676-678: Event latency over 200 ms
-- on: postgres sqlite
-- columns: event_type, total_events, p95_latency_ms
SELECT * FROM event_processing_health
WHERE p95_latency_ms > 200
ORDER BY p95_latency_ms DESC;
-- expect rows
--   node.slow|5|340

-- guide 681-689: Queue wait times
-- on: postgres
SELECT
    event_type,
    AVG(queue_wait_time_ms) as avg_wait,
    MAX(queue_wait_time_ms) as max_wait,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY queue_wait_time_ms) as p95_wait
FROM event_processing_metrics
WHERE created_at > NOW() - INTERVAL '1 hour'
GROUP BY event_type
ORDER BY p95_wait DESC;
-- expect rows
--   node.slow|150|250|240
--   node.generate|0.5|0.5|0.5

-- guide 719: Connection count
-- on: postgres
SELECT count(*) FROM pg_stat_activity;
-- expect match ^[1-9][0-9]*$

-- guide 723: Max connections
-- on: postgres
SHOW max_connections;
-- expect match ^[1-9][0-9]*$

-- guide 868: Vacuum
-- on: postgres
VACUUM ANALYZE mixin_compatibility_matrix;
-- expect done

-- guide 869: Vacuum
-- on: postgres
VACUUM ANALYZE pattern_feedback_log;
-- expect done

-- guide 870: Vacuum
-- on: postgres
VACUUM ANALYZE generation_performance_metrics;
-- expect done

-- guide 871: Vacuum
-- on: postgres
VACUUM ANALYZE template_cache_metadata;
-- expect done

-- guide 872: Vacuum
-- on: postgres
VACUUM ANALYZE event_processing_metrics;
-- expect done

-- guide 880-892: Index usage: the statistics view has no such columns on any PostgreSQL
-- on: postgres
SELECT
    schemaname,
    tablename,
    indexname,
    idx_scan as index_scans,
    idx_tup_read as tuples_read,
    idx_tup_fetch as tuples_fetched
FROM pg_stat_user_indexes
WHERE schemaname = 'public'
  AND tablename IN ('mixin_compatibility_matrix', 'pattern_feedback_log',
                     'generation_performance_metrics', 'template_cache_metadata',
                     'event_processing_metrics')
ORDER BY idx_scan ASC;
-- expect error 42703: column "tablename" does not exist

-- corrected 880-892: Index usage, as it runs
-- on: postgres
-- columns: schemaname, tablename, indexname
SELECT
    schemaname,
    relname AS tablename,
    indexrelname AS indexname,
    idx_scan as index_scans,
    idx_tup_read as tuples_read,
    idx_tup_fetch as tuples_fetched
FROM pg_stat_user_indexes
WHERE schemaname = 'public'
  AND relname IN ('mixin_compatibility_matrix', 'pattern_feedback_log',
                     'generation_performance_metrics', 'template_cache_metadata',
                     'event_processing_metrics')
ORDER BY idx_scan ASC;
-- expect rows in any order
--   public|mixin_compatibility_matrix|mixin_compatibility_matrix_pkey
--   public|mixin_compatibility_matrix|mixin_compatibility_matrix_unique
--   public|pattern_feedback_log|pattern_feedback_log_pkey
--   public|pattern_feedback_log|idx_pattern_feedback_created
--   public|generation_performance_metrics|generation_performance_metrics_pkey
--   public|generation_performance_metrics|idx_generation_performance_created_at
--   public|template_cache_metadata|template_cache_metadata_pkey
--   public|template_cache_metadata|template_cache_metadata_name_unique
--   public|event_processing_metrics|event_processing_metrics_pkey
--   public|event_processing_metrics|idx_event_processing_created_at

-- guide 895: Reindex
-- on: postgres
REINDEX TABLE mixin_compatibility_matrix;
-- expect done

-- guide 896: Reindex
-- on: postgres
REINDEX TABLE pattern_feedback_log;
-- expect done

-- guide 897: Reindex
-- on: postgres
REINDEX TABLE generation_performance_metrics;
-- expect done

-- guide 898: Reindex
-- on: postgres
REINDEX TABLE template_cache_metadata;
-- expect done

-- guide 899: Reindex
-- on: postgres
REINDEX TABLE event_processing_metrics;
-- expect done

-- guide 906-907: Delete generation metrics older than 90 days
-- on: postgres
DELETE FROM generation_performance_metrics
WHERE created_at < NOW() - INTERVAL '90 days';
-- expect count 1

-- guide 909-910: Delete event metrics older than 90 days
-- on: postgres
DELETE FROM event_processing_metrics
WHERE created_at < NOW() - INTERVAL '90 days';
-- expect count 1

-- guide 912-913: Delete pattern feedback older than 90 days
-- on: postgres
DELETE FROM pattern_feedback_log
WHERE created_at < NOW() - INTERVAL '90 days';
-- expect count 1

-- guide 917-919: Delete mixin data over a year old with fewer than 5 tests
-- on: postgres
DELETE FROM mixin_compatibility_matrix
WHERE created_at < NOW() - INTERVAL '1 year'
  AND success_count + failure_count < 5;
-- expect count 2

-- guide 1146: Check database connectivity
-- on: postgres
SELECT version();
-- expect match ^PostgreSQL [1-9][0-9]

-- guide 1150: Check table existence (a command of psql itself)
-- on: psql
\dt mixin_compatibility_matrix
-- expect match mixin_compatibility_matrix

-- guide 1164: Verify restoration
-- on: postgres sqlite
SELECT COUNT(*) FROM mixin_compatibility_matrix;
-- expect rows
--   4

-- guide 1212: Create the application user
-- on: postgres
CREATE USER omniclaude_app WITH PASSWORD 'secure-password';
-- expect done

-- guide 1215: Grant
-- on: postgres
GRANT CONNECT ON DATABASE omninode_bridge TO omniclaude_app;
-- expect done

-- guide 1216: Grant
-- on: postgres
GRANT USAGE ON SCHEMA public TO omniclaude_app;
-- expect done

-- guide 1219: Grant
-- on: postgres
GRANT SELECT, INSERT, UPDATE ON TABLE mixin_compatibility_matrix TO omniclaude_app;
-- expect done

-- guide 1220: Grant
-- on: postgres
GRANT SELECT, INSERT ON TABLE pattern_feedback_log TO omniclaude_app;
-- expect done

-- guide 1221: Grant
-- on: postgres
GRANT SELECT, INSERT ON TABLE generation_performance_metrics TO omniclaude_app;
-- expect done

-- guide 1222: Grant
-- on: postgres
GRANT SELECT, INSERT, UPDATE ON TABLE template_cache_metadata TO omniclaude_app;
-- expect done

-- guide 1223: Grant
-- on: postgres
GRANT SELECT, INSERT ON TABLE event_processing_metrics TO omniclaude_app;
-- expect done

-- guide 1226: Grant
-- on: postgres
GRANT SELECT ON ALL TABLES IN SCHEMA public TO omniclaude_app;
-- expect done

-- guide 1118: Drop a table before it is restored: the last statement, its view goes with it
-- on: postgres
DROP TABLE IF EXISTS mixin_compatibility_matrix CASCADE;
-- expect done
