//! Where something is reached: hosts and URLs.

use std::net::Ipv6Addr;

use serde_json::json;
use serde_yaml::Value;
use url::Url;

use crate::secret::{Secret, mask_path, mask_url};

use super::kind::{Kind, text};
use super::variables::url_word;

/// The host of a database: a name, an address, or the folder of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host(pub(super) String);

impl Host {
    /// As a URL has it.
    pub(super) fn in_url(&self) -> String {
        let address = self.0.trim_start_matches('[').trim_end_matches(']');
        if address.parse::<Ipv6Addr>().is_ok() { format!("[{address}]") } else { url_word(&self.0) }
    }
}

impl Kind for Host {
    const EXPECTED: &'static str = "a host name, an IP address or the folder of a socket";

    fn read(value: &Value) -> Result<Self, String> {
        let host = text(value)?;
        let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_address = inside.unwrap_or(host).parse::<Ipv6Addr>().is_ok();
        let is_name =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if is_address || is_name || host.starts_with('/') {
            return Ok(Self(host.to_owned()));
        }
        Err(match host.rsplit_once(':') {
            _ if host.contains("://") => "write a whole URL as `database.url`",
            Some((before, port)) if port.parse::<u16>().is_ok() && (before.ends_with(']') || !before.contains(':')) => {
                "the port has a key of its own: `port:`"
            }
            _ => "",
        }
        .to_owned())
    }

    fn show(&self) -> serde_json::Value {
        json!(self.0)
    }
}

/// A database by its URL, password included. The scheme is in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl(pub Secret);

impl DatabaseUrl {
    pub fn is_postgres(&self) -> bool {
        self.0.reveal().starts_with("postgres")
    }
}

impl Kind for DatabaseUrl {
    const SECRET: bool = true;
    const EXPECTED: &'static str = "sqlite://PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE";

    fn read(value: &Value) -> Result<Self, String> {
        const SCHEMES: &str = "write sqlite://PATH or postgresql://…";
        let (scheme, rest) = text(value)?.split_once(':').ok_or(SCHEMES)?;
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "sqlite" if rest.trim_start_matches('/').is_empty() => return Err("name a file: sqlite://PATH".to_owned()),
            "sqlite" => {}
            "postgres" | "postgresql" => postgres(rest)?,
            _ => {
                let driver = scheme.split_once('+').filter(|(_, driver)| {
                    ["asyncpg", "psycopg", "psycopg2", "psycopg2cffi", "pg8000", "aiosqlite", "pysqlite"]
                        .contains(driver)
                });
                return Err(driver.map_or_else(|| SCHEMES.to_owned(), |(_, driver)| format!("remove `+{driver}`")));
            }
        }
        Ok(Self(Secret::new(format!("{scheme}:{rest}"))))
    }

    fn show(&self) -> serde_json::Value {
        json!(mask_url(self.0.reveal()))
    }
}

/// What is wrong with a PostgreSQL URL, `rest` after its `postgresql:`.
fn postgres(rest: &str) -> Result<(), &'static str> {
    const ENCODE: &str = "encode what is special in a user or password (`/` is %2F, `#` %23, `?` %3F, `@` %40, `:` %3A, `%` \
                          %25), or write `${POSTGRES_PASSWORD}` in its place: that is encoded";
    const PORT: &str = "a port is a number from 1 to 65535; behind USER:PASSWORD stands an `@`";
    let Some(rest) = rest.strip_prefix("//") else { return Err("write `//` after `postgresql:`") };
    // An `@` behind the authority: a character of the password has ended it too early.
    if rest.split_once(['/', '?', '#']).is_some_and(|(_, tail)| tail.contains('@')) {
        return Err(ENCODE);
    }
    match Url::parse(&format!("postgresql://{rest}")) {
        Ok(url) if url.port() == Some(0) => Err(PORT),
        Ok(_) => Ok(()),
        Err(url::ParseError::InvalidPort) => Err(PORT),
        Err(url::ParseError::InvalidIpv6Address) => Err("write an IPv6 address in brackets: `[::1]`"),
        Err(_) => Err(ENCODE),
    }
}

/// Where alerts are posted; the path of such a URL is its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(pub Secret);

impl Kind for WebhookUrl {
    const SECRET: bool = true;
    const EXPECTED: &'static str = "https://HOST/PATH (or http://)";

    fn read(value: &Value) -> Result<Self, String> {
        // Also the check that there is a host: `Url` refuses these schemes without one.
        let url = Url::parse(text(value)?).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.map(|url| Self(Secret::new(url))).ok_or_else(String::new)
    }

    fn show(&self) -> serde_json::Value {
        json!(mask_path(self.0.reveal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<K: Kind>(yaml: &str) -> Option<K> {
        K::read(&serde_yaml::from_str(yaml).unwrap()).ok()
    }

    #[test]
    fn urls_are_checked_and_never_shown_whole() {
        let url: DatabaseUrl = read("postgresql://me:hunter2@host:5432/db").unwrap();
        assert!(url.is_postgres() && !format!("{url:?} {}", url.show()).contains("hunter2"));
        assert_eq!(url.show(), "postgresql://me:***@host:5432/db");
        assert_eq!(
            read::<WebhookUrl>("https://hooks.slack.com/services/key").unwrap().show(),
            "https://hooks.slack.com/***"
        );
        for wrong in ["ftp://host/x", "https://", "host/x", "1"] {
            assert_eq!(read::<WebhookUrl>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_database_url_is_told_what_is_wrong_with_it() {
        for (wrong, help) in [
            ("mysql://host/db", "write sqlite://PATH or postgresql://"),
            ("db", "write sqlite://PATH or postgresql://"),
            ("postgresql+asyncpg://h/d", "remove `+asyncpg`"),
            ("postgresql+hunter2://h/d", "write sqlite://PATH"),
            ("postgresql://me:a/b@host/db", "%2F"),
            ("postgresql://u:12/w@h/db", "%2F"),
            ("postgresql://u:12#w@h/db", "%23"),
            ("postgresql://u:12?w@h/db", "%3F"),
            ("postgresql://h:99999/db", "from 1 to 65535"),
            ("postgresql://h:0/db", "from 1 to 65535"),
            ("postgresql://me:pass/db", "stands an `@`"),
            ("postgresql://[::1/db", "brackets"),
            ("postgresql:h/db", "write `//`"),
            ("sqlite://", "name a file"),
            ("7", "quotes"),
        ] {
            let value = serde_yaml::from_str(wrong).unwrap();
            let told = DatabaseUrl::read(&value).unwrap_err();
            assert!(told.contains(help) && !told.contains("hunter2"), "{wrong}: {told}");
        }
        for (right, url) in [("PostgreSQL://h/d", "postgresql://h/d"), ("SQLITE:x.db", "sqlite:x.db")] {
            assert_eq!(read::<DatabaseUrl>(right).unwrap().0.reveal(), url);
        }
    }

    #[test]
    fn a_host_is_a_name_an_address_or_a_folder() {
        for (host, in_url) in [
            ("db.example", "db.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("'::1'", "[::1]"),
            ("'[::1]'", "[::1]"),
            ("/run/pg:x", "%2Frun%2Fpg%3Ax"),
        ] {
            assert_eq!(read::<Host>(host).unwrap().in_url(), in_url);
        }
        for (wrong, help) in [
            ("h:5433", "`port:`"),
            ("'[::1]:5433'", "`port:`"),
            ("postgresql://h/x", "`database.url`"),
            ("'[::1'", ""),
            ("a/b:c", ""),
            ("a b", ""),
            ("''", ""),
        ] {
            let told = Host::read(&serde_yaml::from_str(wrong).unwrap()).unwrap_err();
            assert!(told.contains(help) && told.is_empty() == help.is_empty(), "{wrong}: {told}");
        }
    }
}
