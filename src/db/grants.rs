//! `omninode db grants`: the roles of a PostgreSQL database, as SQL for a person to read, or put in force.

use clap::Args;
use serde::Serialize;

use crate::storage::{Role, Roles, Store, Target};
use crate::summary::Format;

use super::{EXIT_OK, json};

#[derive(Args)]
pub(super) struct GrantsArgs {
    /// Put it in force, all or nothing, instead of printing it.
    #[arg(long)]
    apply: bool,
    /// Who stores rows: the user of generate, serve and cache.
    #[arg(long, value_name = "ROLE", value_parser = role, default_value = "omniclaude_app")]
    app_user: String,
    /// Who deletes old rows.
    #[arg(long, value_name = "ROLE", value_parser = role, default_value = "omninode_maintenance")]
    maintenance_user: String,
    /// Who only reads: dashboards.
    #[arg(long, value_name = "ROLE", value_parser = role, default_value = "omninode_readonly")]
    read_only_user: String,
    /// Hand the tables to this role, which migrates them from then on [default: they stay with whom they are].
    #[arg(long, value_name = "ROLE", value_parser = role)]
    owner: Option<String>,
}

/// A name that the server takes for a role.
fn role(name: &str) -> Result<String, String> {
    if name.is_empty() || name.len() > 63 || name.chars().any(|c| c.is_control() || c == '$') {
        return Err("the name of a role has 1 to 63 bytes, on one line, without a `$`".to_owned());
    }
    if name.starts_with("pg_") || ["public", "none"].contains(&name) {
        return Err("PostgreSQL keeps this name for itself".to_owned());
    }
    Ok(name.to_owned())
}

#[derive(Serialize)]
struct Granted<'g> {
    database: String,
    /// Whether it is in force; else it was only printed.
    applied: bool,
    owner: Option<&'g str>,
    roles: &'g [Role],
    sql: &'g str,
}

pub(super) async fn run(args: GrantsArgs, database: &Target, format: Format) -> Result<(String, u8), String> {
    let roles = Roles {
        owner: args.owner,
        application: args.app_user,
        maintenance: args.maintenance_user,
        read_only: args.read_only_user,
    };
    let granted = roles.granted();
    let mut names: Vec<&str> = granted.iter().map(|role| &*role.name).chain(roles.owner.as_deref()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("`{}` is named for two roles; what one may do the other may not: name two", twice[0]));
    }
    let sql = Store::grants(database, &roles, args.apply).await?;
    let text = match (format, args.apply) {
        (Format::Human, false) => sql,
        (Format::Human, true) => {
            let lines: String = granted.iter().map(|role| format!("  {}: {}\n", role.name, role.purpose)).collect();
            let owner = roles.owner.as_ref().map(|name| format!("  {name}: owns the tables and migrates them\n"));
            format!(
                "{}: granted\n{}{lines}A new role has no password yet; in psql: \\password {}\n",
                database.shown(),
                owner.unwrap_or_default(),
                roles.application
            )
        }
        (Format::Json, applied) => json(&Granted {
            database: database.shown(),
            applied,
            owner: roles.owner.as_deref(),
            roles: &granted,
            sql: &sql,
        }),
    };
    Ok((text, EXIT_OK))
}
