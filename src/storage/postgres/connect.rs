//! How a PostgreSQL server is reached: what the URL says, whether the connection is encrypted, and what is said where it
//! cannot be had. No message holds a secret.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use url::Url;

use super::super::Target;
use super::super::grants::identifier;

/// How connections name themselves to the server: `pg_stat_activity` shows it.
const APPLICATION_NAME: &str = "omninode";

/// How long a server may take to answer to a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The oldest server that has everything our SQL needs, in libpq's form.
const OLDEST: u32 = 120_000;

/// A server, and what a connection to it is made of.
#[derive(Clone)]
pub(in crate::storage) struct Server {
    pub(super) options: PgConnectOptions,
    /// What a person should know, and nobody refuses.
    pub(super) warning: Option<String>,
}

impl Server {
    /// # Errors
    /// The URL cannot be meant; in words for the user.
    pub(in crate::storage) fn of(target: &Target) -> Result<Self, String> {
        let shown = target.shown();
        let wrong = |what: &dyn std::fmt::Display| format!("`{shown}` is not a PostgreSQL URL: {what}");
        let url = Url::parse(target.url.reveal()).map_err(|error| wrong(&error))?;
        let (url, asked) = Asked::of(url);
        // Its errors may repeat a word of the URL; only those of the mode and the port are left after the configuration.
        let options = PgConnectOptions::from_str(url.as_str())
            .map_err(|_| wrong(&"expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE"))?;
        let options = match &target.ssl_mode {
            Some(word) if !asked.mode => options.ssl_mode(word.parse().map_err(|_| wrong(&"unknown ssl_mode"))?),
            _ => options,
        };
        // The environment (PGSSLMODE) names a mode too.
        let environment = !matches!(PgConnectOptions::new_without_pgpass().get_ssl_mode(), PgSslMode::Prefer);
        let named = asked.mode || target.ssl_mode.is_some() || environment;
        let root_cert = asked.root_cert.or_else(|| target.ssl_root_cert.clone());
        let files =
            [("sslrootcert, or database.ssl_root_cert", &root_cert), ("sslcert", &asked.cert), ("sslkey", &asked.key)];
        for (name, file) in files {
            if let Some(file) = file.as_ref().filter(|file| !file.is_file()) {
                return Err(format!("{name}: there is no file {}", file.display()));
            }
        }
        let options = match &root_cert {
            Some(file) => options.ssl_root_cert(file),
            None => options,
        };
        // The library reads this one itself.
        let root_cert = root_cert.is_some() || std::env::var_os("PGSSLROOTCERT").is_some_and(|file| !file.is_empty());
        let (options, warning) = encrypted(options, named, root_cert);
        let timeout = format!("{}ms", target.command_timeout.as_millis());
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name(APPLICATION_NAME),
        };
        let options =
            options.options([("statement_timeout", &timeout), ("idle_in_transaction_session_timeout", &timeout)]);
        // A slow statement would stand on the user's standard error in full, a file of SQL with it.
        Ok(Self { options: options.disable_statement_logging(), warning })
    }

    /// # Errors
    /// Nobody answers, or not as we need it; in words for the user.
    pub(super) async fn connect(&self) -> Result<PgConnection, String> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options)).await;
        let connection = match connecting {
            Ok(connected) => connected.map_err(|error| self.explain(&error))?,
            Err(_) => {
                let seconds = CONNECT_TIMEOUT.as_secs();
                return Err(format!(
                    "no answer from the PostgreSQL server at {} within {seconds} s; check host, port and the network",
                    self.place()
                ));
            }
        };
        supported(connection.server_version_num()).map(|()| connection)
    }

    /// Its name; that of the user, where the URL has none.
    pub(in crate::storage) fn database(&self) -> &str {
        self.options.get_database().unwrap_or(self.options.get_username())
    }

    /// HOST:PORT, or the socket.
    fn place(&self) -> String {
        let (options, port) = (&self.options, self.options.get_port());
        match options.get_socket() {
            Some(folder) => format!("{}/.s.PGSQL.{port}", folder.display()),
            None if options.get_host().starts_with('/') => format!("{}/.s.PGSQL.{port}", options.get_host()),
            None => format!("{}:{port}", options.get_host()),
        }
    }

    fn host(&self) -> String {
        let socket = self.options.get_socket().map(|folder| folder.display().to_string());
        socket.unwrap_or_else(|| self.options.get_host().to_owned())
    }

    /// What a failure to connect, or of a first statement, means to a user.
    pub(in crate::storage) fn explain(&self, error: &sqlx::Error) -> String {
        let (place, user) = (self.place(), self.options.get_username());
        let host = self.host();
        let database = self.database();
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        match (error, code.as_ref()) {
            (_, "28P01") => format!(
                "the PostgreSQL server at {place} refuses the password of `{user}`; check POSTGRES_PASSWORD, or the \
                 password in DATABASE_URL (`/ + @ :` in it must be encoded)"
            ),
            (_, "28000") => format!(
                "the PostgreSQL server at {place} lets `{user}` not in ({}); check the user's name, and the server's \
                 pg_hba.conf",
                message(error)
            ),
            (_, "3D000") => format!(
                "there is no database `{database}` at {place}; create it: {}",
                create_database(&host, self.options.get_port(), user, database)
            ),
            (_, "53300") => format!(
                "the PostgreSQL server at {place} has too many connections ({}); end some (`SELECT * FROM \
                 pg_stat_activity`), lower database.pool_max, or raise max_connections on the server",
                message(error)
            ),
            (_, "42501") => {
                let told = message(error);
                format!("`{user}` may not do that in the database `{database}` at {place}: {told}")
            }
            (_, "57014") => too_long(error),
            // Raised by our own SQL, in words for the user.
            (_, "P0001") => message(error),
            (sqlx::Error::Configuration(told), _) => format!("PostgreSQL at {place}, database `{database}`: {told}"),
            (_, "57P03") => format!("the PostgreSQL server at {place} is starting or stopping; try again"),
            (sqlx::Error::Tls(cause), _) if cause.to_string().contains("does not support TLS") => format!(
                "the PostgreSQL server at {place} offers no TLS, and without it everybody on the way could read what is \
                 sent; switch it on there (ssl = on), or say that you know: `sslmode=disable` in the URL, or \
                 database.ssl_mode"
            ),
            (sqlx::Error::Tls(cause), _) => certificate(&place, cause),
            (sqlx::Error::Io(cause), _) if cause.kind() == ErrorKind::InvalidData => certificate(&place, cause),
            (sqlx::Error::Io(cause), _) => match cause.kind() {
                ErrorKind::ConnectionRefused => nobody_listens(&place),
                // No file of that name: the socket, or a certificate that the environment names.
                ErrorKind::NotFound if host.starts_with('/') => nobody_listens(&place),
                ErrorKind::NotFound => format!(
                    "a file that the connection to {place} needs is not there ({cause}); check PGSSLROOTCERT, PGSSLCERT \
                     and PGSSLKEY"
                ),
                _ => {
                    format!("the PostgreSQL server at {place} cannot be reached: {cause}; check host, port and network")
                }
            },
            _ => format!("PostgreSQL at {place}, database `{database}`: {error}"),
        }
    }
}

/// What the server says, without the library's words around it.
fn message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

fn nobody_listens(place: &str) -> String {
    format!("no PostgreSQL server listens at {place}; start it, or check host and port")
}

/// What became of a statement that the server ended.
pub(super) fn too_long(error: &sqlx::Error) -> String {
    format!(
        "the server ended a statement ({}); database.command_timeout_seconds says how long one may take",
        message(error)
    )
}

fn certificate(place: &str, cause: &dyn std::fmt::Display) -> String {
    format!(
        "the certificate of the PostgreSQL server at {place} is not accepted: {cause}; name the certificate of who signed \
         it (`sslrootcert=FILE` in the URL, or database.ssl_root_cert), and the host as the certificate does"
    )
}

/// The command that creates a database, ready for a shell.
fn create_database(host: &str, port: u16, user: &str, database: &str) -> String {
    let shell = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let statement = format!("CREATE DATABASE {};", identifier(database)).replace('\'', r"'\''");
    format!("psql -h {} -p {port} -U {} -d postgres -c '{statement}'", shell(host), shell(user))
}

/// What the query of a URL says of encryption.
struct Asked {
    mode: bool,
    root_cert: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Asked {
    /// The URL with only those words that the library knows: it would log others with their values, and they may be
    /// secrets.
    fn of(mut url: Url) -> (Url, Self) {
        const KNOWN: [&str; 18] = [
            "sslmode",
            "ssl-mode",
            "sslrootcert",
            "ssl-root-cert",
            "ssl-ca",
            "sslcert",
            "ssl-cert",
            "sslkey",
            "ssl-key",
            "statement-cache-capacity",
            "host",
            "hostaddr",
            "port",
            "dbname",
            "user",
            "password",
            "application_name",
            "options",
        ];
        let known = |name: &str| KNOWN.contains(&name) || name.starts_with("options[");
        let pairs: Vec<(String, String)> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let find = |names: &[&str]| pairs.iter().rfind(|(name, _)| names.contains(&name.as_str()));
        let file = |names| find(names).map(|(_, value)| PathBuf::from(value));
        let asked = Self {
            mode: find(&KNOWN[..2]).is_some(),
            root_cert: file(&KNOWN[2..5]),
            cert: file(&KNOWN[5..7]),
            key: file(&KNOWN[7..9]),
        };
        url.set_query(None);
        if pairs.iter().any(|(name, _)| known(name)) {
            url.query_pairs_mut().extend_pairs(pairs.iter().filter(|(name, _)| known(name)));
        }
        (url, asked)
    }
}

/// A server on another machine has to prove who it is (`verify-full`), unless somebody named another mode: that is obeyed,
/// and warned of.
fn encrypted(options: PgConnectOptions, named: bool, root_cert: bool) -> (PgConnectOptions, Option<String>) {
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    if options.get_socket().is_some() || host.starts_with('/') {
        return (options.ssl_mode(PgSslMode::Disable), None);
    }
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let mode = match options.get_ssl_mode() {
        _ if !named && !here => PgSslMode::VerifyFull,
        // As libpq does: who names an authority wants it asked.
        PgSslMode::Require if root_cert => PgSslMode::VerifyCa,
        mode => mode,
    };
    let risk = match mode {
        _ if here => None,
        PgSslMode::Disable | PgSslMode::Allow => Some("is not encrypted"),
        PgSslMode::Prefer => Some("may be unencrypted"),
        PgSslMode::Require => Some("may be to somebody else: who answers is not checked"),
        PgSslMode::VerifyCa => Some("may be to another of the authority's servers: its name is not checked"),
        PgSslMode::VerifyFull => None,
    };
    let warning = risk.map(|risk| format!("the connection to the database at {host} {risk}; sslmode allows it"));
    (options.ssl_mode(mode), warning)
}

/// # Errors
/// The server is too old; both versions are named.
fn supported(version: Option<u32>) -> Result<(), String> {
    let shown = |version: u32| match (version / 10_000, version / 100 % 100, version % 100) {
        (major @ ..=9, minor, patch) => format!("{major}.{minor}.{patch}"),
        (major, ..) => format!("{major}.{}", version % 10_000),
    };
    match version {
        Some(version) if version < OLDEST => Err(format!(
            "the server is PostgreSQL {}, and omninode needs {} or newer; update it, or name another with --database",
            shown(version),
            OLDEST / 10_000
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::new(url)
    }

    fn mode_of(url: &str, mode: Option<&str>) -> (String, bool) {
        let server = Server::of(&Target { ssl_mode: mode.map(str::to_owned), ..target(url) }).unwrap();
        (format!("{:?}", server.options.get_ssl_mode()), server.warning.is_some())
    }

    #[test]
    fn another_machine_has_to_prove_who_it_is_unless_a_mode_is_named_and_that_is_warned_of() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let root_alone = format!("postgresql://db.example/d?sslrootcert={}", file.path().display());
        let with_root = format!("postgresql://db.example/d?sslmode=require&sslrootcert={}", file.path().display());
        for (url, setting, mode, warned) in [
            ("postgresql://db.example/d", None, "VerifyFull", false),
            ("postgresql://10.1.2.3/d", None, "VerifyFull", false),
            ("postgresql://[2001:db8::1]/d", None, "VerifyFull", false),
            ("postgresql://db.example/d?sslmode=disable", None, "Disable", true),
            ("postgresql://db.example/d?sslmode=require", None, "Require", true),
            ("postgresql://db.example/d?sslmode=prefer", None, "Prefer", true),
            ("postgresql://db.example/d?ssl-mode=verify-full", None, "VerifyFull", false),
            ("postgresql://db.example/d", Some("disable"), "Disable", true),
            ("postgresql://db.example/d", Some("verify-full"), "VerifyFull", false),
            ("postgresql://db.example/d?sslmode=verify-ca", Some("disable"), "VerifyCa", true),
            (&with_root, None, "VerifyCa", true),
            (&root_alone, None, "VerifyFull", false),
            ("postgresql://localhost/d", None, "Prefer", false),
            ("postgresql://127.0.0.1/d", None, "Prefer", false),
            ("postgresql://[::1]/d?sslmode=disable", None, "Disable", false),
            ("postgresql://localhost/d?sslmode=require", None, "Require", false),
            ("postgresql://%2Frun%2Fpg/d?sslmode=require", None, "Disable", false),
            ("postgresql:///d?host=/run/pg", None, "Disable", false),
        ] {
            assert_eq!(mode_of(url, setting), (mode.to_owned(), warned), "{url} {setting:?}");
        }
    }

    #[test]
    fn an_old_server_is_refused_with_both_versions() {
        for (version, named) in [(110_022, "11.22"), (90_624, "9.6.24"), (80_400, "8.4.0")] {
            let told = supported(Some(version)).unwrap_err();
            assert!(told.contains(&format!("PostgreSQL {named},")) && told.contains("12 or newer"), "{told}");
        }
        for version in [Some(120_000), Some(150_018), Some(180_001), None] {
            assert_eq!(supported(version), Ok(()));
        }
    }

    #[test]
    fn no_word_of_a_wrong_url_is_repeated() {
        for wrong in [
            "postgresql://me:hunter2@h:1/d?sslmode=nosuch",
            "postgresql://me:hunter2@h/d?port=nosuch",
            "postgresql://me:hunter2@[::1/d",
        ] {
            let told = Server::of(&target(wrong)).err().unwrap();
            assert!(!told.contains("hunter2") && told.contains("is not a PostgreSQL URL"), "{told}");
        }
    }

    #[test]
    fn a_file_that_the_url_names_and_that_is_not_there_is_named() {
        for name in ["sslrootcert", "sslcert", "sslkey"] {
            let told = Server::of(&target(&format!("postgresql://h/d?{name}=/nosuch/file.pem"))).err().unwrap();
            assert!(told.starts_with(name) && told.ends_with("there is no file /nosuch/file.pem"), "{told}");
        }
    }

    #[test]
    fn a_missing_file_is_a_missing_server_only_where_it_is_the_socket() {
        for (url, told_of) in [
            ("postgresql://127.0.0.1/d", "a file that the connection to 127.0.0.1:5432 needs is not there"),
            ("postgresql://%2Frun%2Fpg/d", "no PostgreSQL server listens at /run/pg/.s.PGSQL.5432"),
            ("postgresql:///d?host=/run/pg", "no PostgreSQL server listens at /run/pg/.s.PGSQL.5432"),
        ] {
            let server = Server::of(&target(url)).unwrap();
            let told = server.explain(&sqlx::Error::Io(ErrorKind::NotFound.into()));
            assert!(told.starts_with(told_of), "{told}");
        }
    }

    #[test]
    fn words_that_the_library_would_log_do_not_reach_it() {
        let url = Url::parse("postgresql://h/d?apikey=hunter2&sslmode=require&options[x]=1&hunter2").unwrap();
        let (url, asked) = Asked::of(url);
        assert_eq!(url.as_str(), "postgresql://h/d?sslmode=require&options%5Bx%5D=1");
        assert!(asked.mode && asked.root_cert.is_none());
        assert_eq!(Asked::of(Url::parse("postgresql://h/d?x=1").unwrap()).0.as_str(), "postgresql://h/d");
    }

    #[test]
    fn the_command_that_creates_a_database_can_be_pasted() {
        for (user, database, command) in [
            ("postgres", "omninode_bridge", "-U postgres -d postgres -c 'CREATE DATABASE omninode_bridge;'"),
            ("a b", "My-Data", "-U 'a b' -d postgres -c 'CREATE DATABASE \"My-Data\";'"),
            ("u", "it's", r#"-U u -d postgres -c 'CREATE DATABASE "it'\''s";'"#),
        ] {
            assert_eq!(create_database("h", 5432, user, database), format!("psql -h h -p 5432 {command}"));
        }
    }
}
