-- Which reports of the template cache were added to template_cache_metadata lately: one that is sent again after a commit
-- of which nobody knows how it ended is found here, and changes nothing.
-- Guarded: applying this file twice changes nothing.

CREATE TABLE IF NOT EXISTS template_cache_reports (
    id TEXT PRIMARY KEY,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idx_template_cache_reports_applied_at
    ON template_cache_reports (applied_at);

-- It held these ids before; it is the key of the template in the cache.
UPDATE template_cache_metadata SET cache_key = template_name WHERE cache_key <> template_name;

INSERT OR IGNORE INTO schema_migrations (version, description, execution_time_ms)
VALUES (7, 'Reports of the template cache that were added', 0);
