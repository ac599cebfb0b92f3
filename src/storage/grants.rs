//! Who may do what on a PostgreSQL server: four roles, the SQL that makes them, and what one of them lacks.
//!
//! The application may do what the statements of this program need and nothing else; a test takes each grant away and sees
//! one of them fail. The SQL takes away what a role had on our tables before, in the same transaction: afterwards the
//! roles are as they stand here, whatever they were. Other tables of the database are left alone.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::migrations::POSTGRES;

/// Tables (and views), and what may be done with each.
pub(super) type Grants = &'static [(&'static str, &'static [&'static str])];

/// What storing rows takes. An insert that leaves out the rows that are there (`ON CONFLICT`) and says which it stored
/// (`RETURNING`) reads too; rows of the rollups are folded into one now and then, ids of reports are kept for 30 days.
pub(super) const WRITER: Grants = &[
    ("event_processing_metrics", &["SELECT", "INSERT"]),
    ("generation_performance_metrics", &["SELECT", "INSERT"]),
    ("template_cache_metadata", &["SELECT", "INSERT", "UPDATE"]),
    ("template_cache_reports", &["SELECT", "INSERT", "DELETE"]),
    ("event_processing_hourly", &["SELECT", "INSERT", "DELETE"]),
    ("generation_performance_hourly", &["SELECT", "INSERT", "DELETE"]),
];

/// What the application does besides: it looks what was migrated, `cache invalidate` deletes, and the two functions
/// `update_mixin_compatibility` and `record_pattern_feedback` store what was learned.
const BESIDES: Grants = &[
    ("schema_migrations", &["SELECT"]),
    ("schema_views", &["SELECT"]),
    ("mixin_compatibility_matrix", &["SELECT", "INSERT", "UPDATE"]),
    ("pattern_feedback_log", &["SELECT", "INSERT"]),
    ("template_cache_metadata", &["DELETE"]),
];

/// Old rows go, and the rollups are counted anew.
const MAINTENANCE: Grants = &[
    ("schema_migrations", &["SELECT"]),
    ("schema_views", &["SELECT"]),
    ("mixin_compatibility_matrix", &["SELECT", "DELETE"]),
    ("pattern_feedback_log", &["SELECT", "DELETE"]),
    ("generation_performance_metrics", &["SELECT", "DELETE"]),
    ("template_cache_metadata", &["SELECT"]),
    ("event_processing_metrics", &["SELECT", "DELETE"]),
    ("template_cache_reports", &["SELECT", "DELETE"]),
    ("event_processing_hourly", &["SELECT", "INSERT", "DELETE"]),
    ("generation_performance_hourly", &["SELECT", "INSERT", "DELETE"]),
];

fn listed(grants: Grants) -> BTreeMap<&'static str, Vec<&'static str>> {
    grants.iter().map(|(table, verbs)| (*table, verbs.to_vec())).collect()
}

/// The names of the roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    /// Who shall own the tables and migrate them; none leaves them with whom they are.
    pub owner: Option<String>,
    pub application: String,
    pub maintenance: String,
    pub read_only: String,
}

/// A role and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    pub name: String,
    /// What it is for.
    pub purpose: &'static str,
    /// By table or view.
    pub grants: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Roles {
    /// Those that get grants.
    pub fn granted(&self) -> [Role; 3] {
        let role = |name: &str, purpose, grants| Role { name: name.to_owned(), purpose, grants };
        let mut application = listed(WRITER);
        for (table, verbs) in listed(BESIDES) {
            application.entry(table).or_default().extend(verbs);
        }
        let all = POSTGRES.tables().into_iter().chain(POSTGRES.views());
        let read_only = all.map(|table| (table, vec!["SELECT"])).collect();
        [
            role(&self.application, "stores rows (generate, serve, cache)", application),
            role(&self.maintenance, "deletes old rows, counts rollups anew", listed(MAINTENANCE)),
            role(&self.read_only, "reads tables and views (dashboards, psql)", read_only),
        ]
    }

    /// All of it, as one transaction for psql, in the order of reading.
    pub(super) fn sql(&self, database: &str) -> String {
        let roles = self.granted();
        let names: Vec<String> = roles.iter().map(|role| identifier(&role.name)).collect();
        let names = names.join(", ");
        let database = identifier(database);
        let mut sql = format!(
            "-- The roles of a database. Run it after `omninode db migrate`, as the owner of the database and of its tables\n\
             -- or as a superuser; again after a migration that adds tables. Twice does no harm.\nBEGIN;\n\n\
             -- A new role has no password, and nobody logs in as it. In psql: \\password {}\n{}\n",
            identifier(&self.application),
            self.created(),
        );
        sql += &self.owned(&database);
        sql += &self.guarded();
        let tables = POSTGRES.tables().join(", ");
        let everything = [POSTGRES.tables(), POSTGRES.views()].concat().join(", ");
        sql += &format!(
            "GRANT CONNECT ON DATABASE {database} TO {names};\nREVOKE CREATE ON SCHEMA public FROM PUBLIC;\n\
             GRANT USAGE ON SCHEMA public TO {names};\n\n\
             -- Nothing but what stands below.\nREVOKE ALL ON {everything}\n    FROM {names};\n"
        );
        for role in &roles {
            sql += &format!("\n-- {}: {}.\n", identifier(&role.name), role.purpose);
            for (verbs, tables) in by_verbs(&role.grants) {
                let role = identifier(&role.name);
                sql += &format!("GRANT {} ON {}\n    TO {role};\n", verbs.join(", "), tables.join(", "));
            }
        }
        let maintenance = identifier(&self.maintenance);
        sql += &format!(
            "-- VACUUM, ANALYZE and REINDEX: up to PostgreSQL 16 only the owner's, from 17 on they can be granted.\n\
             DO $$ BEGIN\n    IF current_setting('server_version_num')::int >= 170000 THEN\n        \
             EXECUTE {};\n    END IF;\nEND $$;\n\nCOMMIT;\n",
            literal(&format!("GRANT MAINTAIN ON {tables} TO {maintenance}"))
        );
        sql
    }

    /// Makes the roles that are not there.
    fn created(&self) -> String {
        let granted = self.granted();
        let names = self.owner.iter().chain(granted.iter().map(|role| &role.name));
        let one = |name: &String| {
            format!(
                "    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN CREATE ROLE {} LOGIN; END IF;\n",
                literal(name),
                identifier(name)
            )
        };
        format!("DO $$ BEGIN\n{}END $$;\n", names.map(one).collect::<String>())
    }

    /// Hands everything of ours to the owner.
    fn owned(&self, database: &str) -> String {
        let Some(name) = &self.owner else {
            return "-- The owner of the tables stays who it is; `--owner NAME` hands them to a role of its own.\n\n"
                .to_owned();
        };
        let (owner, text) = (identifier(name), literal(name));
        let mut sql = format!(
            "-- {owner}: owns the tables and migrates them. Whoever gives them away must be a member of it.\n\
             DO $$ BEGIN\n    IF NOT pg_has_role(current_user, {text}, 'MEMBER') THEN GRANT {owner} TO CURRENT_USER; END IF;\n\
             END $$;\nGRANT CONNECT ON DATABASE {database} TO {owner};\n\
             GRANT USAGE, CREATE ON SCHEMA public TO {owner};\n"
        );
        for (kind, names) in [
            ("TABLE", POSTGRES.tables()),
            ("VIEW", POSTGRES.views()),
            ("FUNCTION", POSTGRES.functions().into_iter().collect()),
        ] {
            sql.extend(names.iter().map(|name| format!("ALTER {kind} {name} OWNER TO {owner};\n")));
        }
        sql + "\n"
    }

    /// Stops where a grant would be no limit.
    fn guarded(&self) -> String {
        let [application, maintenance, read_only] =
            [&self.application, &self.maintenance, &self.read_only].map(|name| literal(name));
        let tables = POSTGRES.tables().join(", ");
        format!(
            "DO $$ DECLARE wrong text; BEGIN\n    \
             SELECT rolname INTO wrong FROM pg_roles AS role, pg_class AS ours\n    \
             WHERE ours.oid = ANY ('{{{tables}}}'::regclass[]) AND (rolname = {maintenance} AND role.oid = relowner\n        \
             OR rolname IN ({application}, {read_only}) AND pg_has_role(role.oid, relowner, 'MEMBER'));\n    \
             IF wrong IS NOT NULL THEN\n        \
             RAISE EXCEPTION '% owns tables or is a superuser: no grant limits it; name another, or an --owner', wrong;\n    \
             END IF;\nEND $$;\n\n"
        )
    }

    /// Runs it, and looks what the server has not done: to grant what one may not is a mere notice there.
    pub(super) async fn apply(&self, connection: &mut PgConnection, sql: &str) -> sqlx::Result<Vec<String>> {
        // Made of names that are quoted.
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *connection).await?;
        let roles = self.granted();
        let tables = roles.iter().flat_map(|role| {
            role.grants
                .iter()
                .flat_map(move |(table, verbs)| verbs.iter().map(move |verb| (&*role.name, *table, *verb)))
        });
        let wider = roles.iter().flat_map(|role| [(&*role.name, "", "CONNECT"), (&*role.name, "public", "USAGE")]);
        let wanted: Vec<(&str, &str, &str)> = tables.chain(wider).collect();
        sqlx::query_scalar(
            "SELECT concat_ws(' ', verb, nullif(name, ''), 'to', role) \
             FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (role, name, verb) \
             WHERE NOT CASE verb WHEN 'CONNECT' THEN has_database_privilege(role, current_database(), verb) \
             WHEN 'USAGE' THEN has_schema_privilege(role, name, verb) ELSE has_table_privilege(role, name, verb) END",
        )
        .bind(wanted.iter().map(|wanted| wanted.0).collect::<Vec<_>>())
        .bind(wanted.iter().map(|wanted| wanted.1).collect::<Vec<_>>())
        .bind(wanted.iter().map(|wanted| wanted.2).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
    }
}

/// What the user of this connection lacks of these, in words for the user.
pub(super) async fn lacking(connection: &mut PgConnection, needed: Grants) -> sqlx::Result<Option<String>> {
    let pairs = || needed.iter().flat_map(|(table, verbs)| verbs.iter().map(move |verb| (*table, *verb)));
    let (tables, verbs): (Vec<&str>, Vec<&str>) = pairs().unzip();
    let missing: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT current_user::text, name, verb FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS need (name, verb, at) \
         WHERE NOT has_table_privilege(name, verb) ORDER BY at",
    )
    .bind(tables)
    .bind(verbs)
    .fetch_all(connection)
    .await?;
    let Some((user, ..)) = missing.first() else { return Ok(None) };
    let mut of_tables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, table, verb) in &missing {
        of_tables.entry(table).or_default().push(verb);
    }
    let parts: Vec<String> = by_verbs(&of_tables)
        .iter()
        .map(|(verbs, tables)| format!("{} on {}", verbs.join(", "), tables.join(", ")))
        .collect();
    Ok(Some(format!(
        "the user {} of the database lacks {}; let the owner of the tables run `omninode db grants --apply --app-user {0}`",
        identifier(user),
        parts.join("; ")
    )))
}

/// Tables with the same verbs together.
fn by_verbs<'g>(grants: &'g BTreeMap<&'g str, Vec<&'g str>>) -> BTreeMap<&'g [&'g str], Vec<&'g str>> {
    let mut groups: BTreeMap<&[&str], Vec<&str>> = BTreeMap::new();
    for (table, verbs) in grants {
        groups.entry(verbs).or_default().push(table);
    }
    groups
}

/// Whether the server did not allow a statement.
pub(super) fn is_refused(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42501")
}

/// What to do about a statement that was not allowed; nothing about another.
pub(super) fn help(error: &sqlx::Error) -> &'static str {
    if is_refused(error) {
        "; `omninode db grants` prints what a role needs, and with --apply its owner gives it"
    } else {
        ""
    }
}

/// A name as SQL has it; quoted only where it must be.
pub(super) fn identifier(name: &str) -> String {
    /// Words of SQL that people take for names.
    const WORDS: [&str; 6] = ["user", "current_user", "session_user", "current_role", "all", "group"];
    let simple = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if starts && name.bytes().all(simple) && !WORDS.contains(&name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

fn literal(text: &str) -> String {
    // As it stands also where the server reads backslashes.
    let escape = if text.contains('\\') { " E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}
