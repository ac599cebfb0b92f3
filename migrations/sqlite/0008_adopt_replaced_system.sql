-- The twin of PostgreSQL's 0008. No replaced system ever wrote an SQLite file; what is left to do is to bring pairs of
-- mixins that stand in both orders into one row, with the sum of their counts, in the order of their bytes.

CREATE TEMPORARY TABLE merged_pairs AS
SELECT
    min(mixin_a, mixin_b) AS first,
    max(mixin_a, mixin_b) AS second,
    node_type,
    sum(coalesce(success_count, 0)) AS successes,
    sum(coalesce(failure_count, 0)) AS failures,
    max(compatibility_score) AS score,
    count(*) AS members,
    max(last_tested_at) AS tested,
    min(created_at) AS created,
    max(updated_at) AS updated
FROM mixin_compatibility_matrix
GROUP BY 1, 2, 3;

-- The oldest row stays; reasons and resolutions are the newest that anybody gave.
CREATE TEMPORARY TABLE kept_pairs AS
SELECT
    merged_pairs.*,
    (SELECT id FROM mixin_compatibility_matrix AS pair
        WHERE min(mixin_a, mixin_b) = first AND max(mixin_a, mixin_b) = second AND pair.node_type = merged_pairs.node_type
        ORDER BY created_at, id LIMIT 1) AS id,
    (SELECT conflict_reason FROM mixin_compatibility_matrix AS pair
        WHERE min(mixin_a, mixin_b) = first AND max(mixin_a, mixin_b) = second AND pair.node_type = merged_pairs.node_type
            AND conflict_reason IS NOT NULL
        ORDER BY last_tested_at DESC LIMIT 1) AS reason,
    (SELECT resolution_pattern FROM mixin_compatibility_matrix AS pair
        WHERE min(mixin_a, mixin_b) = first AND max(mixin_a, mixin_b) = second AND pair.node_type = merged_pairs.node_type
            AND resolution_pattern IS NOT NULL
        ORDER BY last_tested_at DESC LIMIT 1) AS resolution
FROM merged_pairs;

DELETE FROM mixin_compatibility_matrix WHERE id NOT IN (SELECT id FROM kept_pairs);
UPDATE mixin_compatibility_matrix AS pair SET
    mixin_a = first, mixin_b = second, success_count = successes, failure_count = failures,
    compatibility_score = CASE
        WHEN members = 1 THEN score
        ELSE coalesce(round(CAST(successes AS REAL) / nullif(successes + failures, 0), 4), score) END,
    last_tested_at = tested, conflict_reason = reason, resolution_pattern = resolution,
    created_at = created, updated_at = updated
FROM kept_pairs WHERE kept_pairs.id = pair.id;
DROP TABLE kept_pairs;
DROP TABLE merged_pairs;

INSERT OR IGNORE INTO schema_migrations (version, description, execution_time_ms)
VALUES (8, 'A database of the replaced system becomes ours', 0);
