//! Several servers of which one takes writes.
//!
//! Owns: URLs that name more than one host, and the options for each of them. Does not own: which one is taken (`session`).
//!
//! The driver knows one host. A list is kept as it is in the host of its options, so that everything that is given options gets it:
//! `a:5432,b:5432`. That is also what `?host=a,b` gives, and what a list without ports in the URL gives.

use sqlx::postgres::PgConnectOptions;

/// The options that a URL names: as the driver reads it, and with the lists of hosts that libpq takes,
/// `postgres://user@a:5432,b:5432/games`. A server that takes no writes is passed over when a connection is opened.
///
/// # Errors
/// If it is not a valid URL of Postgres.
pub fn parse_url(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    match with_list_as_parameter(url) {
        Some(url) => url.parse(),
        None => url.parse(),
    }
}

/// The same URL with the list as a parameter, which goes before the host that is named in its place.
fn with_list_as_parameter(url: &str) -> Option<String> {
    let (kind, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), authority),
    };
    let (first, _) = split(hosts.split_once(',')?.0);
    let separator = if path.contains('?') { '&' } else { '?' };
    Some(format!("{kind}://{login}{first}{path}{separator}host={hosts}"))
}

/// For each host, in order, options that name it alone.
pub(crate) fn each(options: &PgConnectOptions) -> Vec<PgConnectOptions> {
    if options.get_socket().is_some() {
        return vec![options.clone()];
    }
    let hosts = options.get_host().split(',').map(str::trim).filter(|host| !host.is_empty());
    let each: Vec<_> = hosts.map(|host| with_host(options, host)).collect();
    if each.is_empty() { vec![options.clone()] } else { each }
}

fn with_host(options: &PgConnectOptions, host: &str) -> PgConnectOptions {
    match split(host) {
        (host, Some(port)) => options.clone().host(host).port(port),
        (host, None) => options.clone().host(host),
    }
}

/// Host and port. A name with more than one colon is an address without port, unless it is in brackets.
fn split(host: &str) -> (&str, Option<u16>) {
    let Some((name, port)) = host.rsplit_once(':') else { return (host, None) };
    match port.parse() {
        Ok(port) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> String {
        let options = parse_url(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let shown = each(&options).into_iter().map(|one| format!("{}:{}", one.get_host(), one.get_port()));
        format!("{}@{}", options.get_username(), shown.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn every_way_to_name_several_hosts() {
        assert_eq!(hosts("postgres://me:p@a:1,b:2/games"), "me@a:1 b:2");
        assert_eq!(hosts("postgres://me@a:1,b,c:3/games?sslmode=disable"), "me@a:1 b:5432 c:3");
        assert_eq!(hosts("postgres://me@a,b/games"), "me@a:5432 b:5432");
        assert_eq!(hosts("postgres://me@x/games?host=a,b&port=7"), "me@a:7 b:7");
        assert_eq!(hosts("postgres://me@[::1]:1,b:2/games"), "me@[::1]:1 b:2");
    }

    #[test]
    fn one_host_is_what_it_was() {
        assert_eq!(hosts("postgres://me@a:1/games"), "me@a:1");
        assert_eq!(hosts("postgres://me@a/games"), "me@a:5432");
        let options = parse_url("postgres://me@[::1]:1/games").map(|options| each(&options).remove(0));
        assert!(options.is_ok_and(|options| options.get_host().contains("::1") && options.get_port() == 1));
        assert!(parse_url("postgres://me@a:port/games").is_err());
        let socket = parse_url("postgres:///games?host=/run/postgres").map(|options| each(&options));
        assert!(socket.is_ok_and(|each| each.len() == 1 && each[0].get_socket().is_some()));
    }

    #[test]
    fn what_else_the_url_says_holds_for_each() {
        let options = parse_url("postgres://me@a:1,b:2/games?application_name=x").map(|options| each(&options));
        let names =
            |one: &PgConnectOptions| (one.get_database() == Some("games"), one.get_application_name() == Some("x"));
        assert!(options.is_ok_and(|each| each.len() == 2 && each.iter().map(names).all(|both| both == (true, true))));
    }
}
