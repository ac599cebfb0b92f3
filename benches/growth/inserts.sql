-- Two procedures that insert batches of a thousand new rows, each committed, and tell the milliseconds of each in `spent`.
CREATE TABLE IF NOT EXISTS spent (what text, ms float8);

CREATE OR REPLACE PROCEDURE insert_events(batches int, told text) LANGUAGE plpgsql AS $body$
DECLARE
    began timestamptz;
BEGIN
    CREATE TEMP TABLE batch ON COMMIT DELETE ROWS AS SELECT * FROM event_processing_metrics WHERE false;
    FOR k IN 1..batches LOOP
        INSERT INTO batch (id, event_id, attempt, event_type, event_source, processing_duration_ms, queue_wait_time_ms, success,
            retry_count, batch_size, created_at)
        SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7000' || '8'
                || substr(md5(random()::text), 1, 15))::uuid,
            gen_random_uuid(), 1, 'node.generate', 'serve', random() * 100, random() * 10, true, 0, 1, clock_timestamp()
        FROM generate_series(1, 1000);
        began := clock_timestamp();
        INSERT INTO event_processing_metrics SELECT * FROM batch;
        COMMIT;
        INSERT INTO spent VALUES (told, extract(epoch FROM clock_timestamp() - began) * 1000);
    END LOOP;
    DROP TABLE batch;
END $body$;

CREATE OR REPLACE PROCEDURE insert_phases(batches int, told text) LANGUAGE plpgsql AS $body$
DECLARE
    began timestamptz;
BEGIN
    CREATE TEMP TABLE batch ON COMMIT DELETE ROWS AS SELECT * FROM generation_performance_metrics WHERE false;
    FOR k IN 1..batches LOOP
        INSERT INTO batch (id, session_id, node_type, phase, duration_ms, cache_hit, parallel_execution, worker_count, metadata,
            created_at)
        SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7000' || '8'
                || substr(md5(random()::text), 1, 15))::uuid,
            gen_random_uuid(), 'EFFECT', 'total', random() * 100, true, true, 2, '{"package": "node_user_effect"}',
            clock_timestamp()
        FROM generate_series(1, 1000);
        began := clock_timestamp();
        INSERT INTO generation_performance_metrics SELECT * FROM batch;
        COMMIT;
        INSERT INTO spent VALUES (told, extract(epoch FROM clock_timestamp() - began) * 1000);
    END LOOP;
    DROP TABLE batch;
END $body$;
