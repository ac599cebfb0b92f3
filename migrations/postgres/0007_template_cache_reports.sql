-- Which reports of the template cache were added to template_cache_metadata lately: one that is sent again after a commit
-- of which nobody knows how it ended is found here, and changes nothing.
-- Guarded and in one transaction: see 0006.

DO $migration$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    PERFORM pg_advisory_xact_lock(730636066);
    IF EXISTS (SELECT FROM schema_migrations WHERE version = 7) THEN
        RETURN;
    END IF;

    CREATE TABLE template_cache_reports (
        id uuid PRIMARY KEY,
        applied_at timestamptz DEFAULT now() NOT NULL
    );
    CREATE INDEX idx_template_cache_reports_applied_at ON template_cache_reports (applied_at);

    INSERT INTO schema_migrations (version, description, execution_time_ms)
    VALUES (
        7, 'Reports of the template cache that were added', extract(epoch FROM clock_timestamp() - began) * 1000
    );
END
$migration$;
