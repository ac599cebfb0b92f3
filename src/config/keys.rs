//! Every key there is; and for one that is none, the key that was probably meant.

use codegen::nearest;

/// Key and variable (empty where only the file and flags give it), in the order in which settings are shown.
pub(super) const KEYS: [(&str, &str); 31] = [
    ("environment", ""),
    ("database.url", "DATABASE_URL"),
    ("database.host", ""),
    ("database.port", ""),
    ("database.database", ""),
    ("database.user", ""),
    ("database.password_env", ""),
    // Its variable is the one that `password_env` names.
    ("database.password", ""),
    ("database.pool_size", ""),
    ("database.pool_max", ""),
    ("database.command_timeout_seconds", ""),
    ("database.ssl_mode", ""),
    ("database.ssl_root_cert", ""),
    ("template_cache.enabled", ""),
    ("template_cache.max_templates", ""),
    ("template_cache.max_size_mb", ""),
    ("template_cache.ttl_seconds", ""),
    ("template_cache.enable_persistence", ""),
    ("parallel_generation.enabled", ""),
    ("parallel_generation.max_workers", ""),
    ("parallel_generation.worker_timeout_seconds", ""),
    ("monitoring.enabled", "MONITORING_ENABLED"),
    ("monitoring.metric_retention_points", ""),
    ("monitoring.health_check_interval_seconds", ""),
    ("monitoring.alert_webhook_url", "ALERT_WEBHOOK_URL"),
    ("logging.level", "LOG_LEVEL"),
    ("logging.format", ""),
    ("logging.dir", "LOG_DIR"),
    ("logging.rotation.max_bytes", ""),
    ("logging.rotation.backup_count", ""),
    ("logging.rotation.compression", ""),
];

pub(super) fn variable_of(key: &str) -> &'static str {
    position(key).map_or("", |at| KEYS[at].1)
}

/// Where a key stands among all.
pub(super) fn position(key: &str) -> Option<usize> {
    KEYS.iter().position(|(known, _)| *known == key)
}

/// Whether keys stand below this path. The whole file, whose path is empty, is a section too.
pub(super) fn is_section(path: &str) -> bool {
    !inside(path).is_empty()
}

/// The names of what a section holds; of the sections where it is empty.
pub(super) fn inside(section: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (key, _) in KEYS {
        let below = if section.is_empty() { Some(key) } else { key.strip_prefix(section) };
        let below = below.and_then(|rest| if section.is_empty() { Some(rest) } else { rest.strip_prefix('.') });
        let name = below.map(|rest| rest.split('.').next().unwrap_or(rest));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// Every key and every section, by its whole path.
fn paths() -> impl Iterator<Item = &'static str> {
    KEYS.iter().flat_map(|(key, _)| key.match_indices('.').map(|(at, _)| &key[..at]).chain([*key]))
}

/// What to do about a key that is none.
pub(super) fn suggestion(path: &str) -> String {
    if is_section(path) {
        return format!("it is a section; name one of its keys: {}", inside(path).join(", "));
    }
    let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
    let siblings = inside(above);
    // `cache` for `template_cache`, `workers` for `max_workers`.
    let is_part = |whole: &str| whole.split('_').any(|word| word == name);
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let meant = nearest(name, &siblings)
        .or_else(|| siblings.iter().copied().find(|sibling| is_part(sibling)))
        .or_else(|| paths().find(|path| last(path) == name))
        .or_else(|| paths().find(|path| is_part(last(path))));
    match (meant, above) {
        (Some(meant), _) => format!("did you mean `{meant}`?"),
        (None, above) if above.is_empty() || siblings.is_empty() => format!("known here: {}", inside("").join(", ")),
        (None, above) => format!("known in `{above}`: {}", siblings.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_none_leads_to_the_one_that_was_meant() {
        for (path, help) in [
            ("loging", "did you mean `logging`?"),
            ("cache", "did you mean `template_cache`?"),
            ("workers", "did you mean `parallel_generation.max_workers`?"),
            ("parallel_generation.workers", "did you mean `max_workers`?"),
            ("rotation", "did you mean `logging.rotation`?"),
            ("level", "did you mean `logging.level`?"),
            ("logging.rotation", "it is a section; name one of its keys: max_bytes, backup_count, compression"),
            ("x.y", "known here: environment, database, template_cache, parallel_generation, monitoring, logging"),
            ("logging.zzz", "known in `logging`: level, format, dir, rotation"),
        ] {
            assert_eq!(suggestion(path), help, "{path}");
        }
    }
}
