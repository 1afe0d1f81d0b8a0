//! Reads a configuration file: closed schema, errors with line and suggestion.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use stayhand_guardrail::{limits::SESSION_MAX, time::DurationMs};
use stayhand_transport::check_address;

use stayhand_proto::{limits::FRESH_FOR_MAX, protocol::PROTOCOL};

use super::{Config, Delivery};

/// Bytes of a configuration file: a hundred times what the full example has.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Smallest store: below this not even one host's events of a day fit.
const DATABASE_MIB_MIN: u32 = 4;
/// Largest store: what the page numbers of the database can address, with a margin.
const DATABASE_MIB_MAX: u32 = 1 << 23;

/// Shortest life of a certificate: every renewal is a new connection of every host.
const CERTIFICATE_LIFETIME_MIN: DurationMs = DurationMs::from_secs(60);
/// Longest: so long a copy of a certificate is worth something that nobody knows was stolen.
const CERTIFICATE_LIFETIME_MAX: DurationMs = DurationMs::from_secs(30 * 24 * 3_600);

/// Shortest freshness: a proof takes up to nine seconds (a host speaks every five, is answered every three), and a restart of the
/// control plane with everybody coming back should not end grants.
const FRESHNESS_MIN: DurationMs = DurationMs::from_secs(60);
/// Longest: hosts take no longer one.
const FRESHNESS_MAX: DurationMs = FRESH_FOR_MAX;

/// Shortest session: nobody signs in for less.
const SESSION_MIN: DurationMs = DurationMs::from_secs(5 * 60);

/// Why a configuration is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {cause}", path.display())]
    Unreadable {
        /// The file
        path: PathBuf,
        /// Why
        cause: String,
    },
    /// Something in it.
    #[error("{}:{line}:{column}: {message}{}", path.display(), hint(suggestion.as_deref()))]
    At {
        /// The file
        path: PathBuf,
        /// From 1
        line: usize,
        /// From 1, in characters
        column: usize,
        /// What
        message: String,
        /// A word that exists and looks like it
        suggestion: Option<String>,
    },
    /// A value that is well formed but makes no sense.
    #[error("{}: `{key}` {message}", path.display())]
    Value {
        /// The file
        path: PathBuf,
        /// The key
        key: &'static str,
        /// What is wrong with its value
        message: String,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|word| format!("; did you mean `{word}`?"))
        .unwrap_or_default()
}

/// Reads `path`. A file that is missing at the default place means defaults; one that was asked for must be there.
pub fn load(path: &Path, may_be_missing: bool) -> Result<Config, ConfigError> {
    let unreadable = |cause: String| ConfigError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if may_be_missing && error.kind() == std::io::ErrorKind::NotFound => {
            return parse(path, "");
        }
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!(
            "it has more than {FILE_BYTES_MAX} bytes"
        )));
    }
    parse(path, &text)
}

/// Parses `text`; `path` is only named in errors.
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let config: Config = toml::from_str(text).map_err(|error| located(path, text, &error))?;
    let wrong = |key, message: String| {
        Err(ConfigError::Value {
            path: path.to_owned(),
            key,
            message,
        })
    };
    let paths = [
        ("listen.operators", &config.listen.operators),
        ("listen.hosts", &config.listen.hosts),
        ("state.directory", &config.state.directory),
        ("identity.agent_socket", &config.identity.agent_socket),
    ];
    let people = config
        .people
        .file
        .as_ref()
        .map(|path| ("people.file", path));
    let rules = config.authorization.policies.as_ref();
    let rules = rules.map(|path| ("authorization.policies", path));
    let oidc = &config.oidc;
    let of_oidc = [
        ("oidc.client_secret_file", oidc.client_secret_file.as_ref()),
        ("oidc.authority_file", oidc.authority_file.as_ref()),
    ];
    let of_oidc = of_oidc
        .into_iter()
        .filter_map(|(key, path)| Some((key, path?)));
    if let Some((key, _)) = paths
        .into_iter()
        .chain(people)
        .chain(rules)
        .chain(of_oidc)
        .find(|(_, path)| !path.is_absolute())
    {
        return wrong(key, "must be an absolute path".to_owned());
    }
    if config.listen.operators == config.listen.hosts {
        return wrong(
            "listen.hosts",
            "must be another path than `listen.operators`".to_owned(),
        );
    }
    let network = &config.network;
    let lifetime = network.certificate_lifetime;
    if !(CERTIFICATE_LIFETIME_MIN..=CERTIFICATE_LIFETIME_MAX).contains(&lifetime) {
        return wrong(
            "network.certificate_lifetime",
            format!("must be from {CERTIFICATE_LIFETIME_MIN} to {CERTIFICATE_LIFETIME_MAX}"),
        );
    }
    if !(SESSION_MIN..=SESSION_MAX).contains(&oidc.session_lifetime) {
        return wrong(
            "oidc.session_lifetime",
            format!("must be from {SESSION_MIN} to {SESSION_MAX}"),
        );
    }
    if oidc.device_flow && oidc.issuer.is_none() {
        return wrong(
            "oidc.device_flow",
            "is of no use without `oidc.issuer`: it is there that a code is entered".to_owned(),
        );
    }
    if let Some(issuer) = &oidc.issuer {
        if !issuer.starts_with("https://") {
            return wrong(
                "oidc.issuer",
                "must begin with https://: nobody signs in over a line that others can read"
                    .to_owned(),
            );
        }
        if network.listen.is_none() {
            return wrong(
                "oidc.issuer",
                "is of no use without `network.listen`: people sign in who are elsewhere"
                    .to_owned(),
            );
        }
    }
    if let Some(Err(problem)) = network.address.as_deref().map(check_address) {
        return wrong("network.address", problem.to_string());
    }
    if let Err((key, message)) = check_delivery(&config.delivery) {
        return wrong(key, message);
    }
    match config.state.database_mib_max {
        Some(mib) if !(DATABASE_MIB_MIN..=DATABASE_MIB_MAX).contains(&mib) => wrong(
            "state.database_mib_max",
            format!("must be from {DATABASE_MIB_MIN} to {DATABASE_MIB_MAX}"),
        ),
        _ if config.operators.users.is_empty() && config.operators.groups.is_empty() => wrong(
            "operators",
            "names nobody, so nobody could ever act".to_owned(),
        ),
        _ => Ok(config),
    }
}

fn check_delivery(delivery: &Delivery) -> Result<(), (&'static str, String)> {
    if delivery.oldest_protocol > PROTOCOL {
        return Err((
            "delivery.oldest_protocol",
            format!("no agent would be served: the newest protocol is {PROTOCOL}"),
        ));
    }
    let is_fine = |span| (FRESHNESS_MIN..=FRESHNESS_MAX).contains(&span);
    if !delivery.freshness.is_none_or(is_fine) {
        return Err((
            "delivery.freshness",
            format!("must be from {FRESHNESS_MIN} to {FRESHNESS_MAX}"),
        ));
    }
    Ok(())
}

fn located(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before
        .chars()
        .rev()
        .take_while(|character| *character != '\n')
        .count()
        + 1;
    let message = stayhand_guardrail::text::safe(error.message());
    let suggestion = suggest(&message);
    ConfigError::At {
        path: path.to_owned(),
        line,
        column,
        message,
        suggestion,
    }
}

/// serde words an unknown key or value as ``unknown field `a`, expected one of `b`, `c` ``.
fn suggest(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (given, known) = (quoted.next()?, quoted);
    if !message.starts_with("unknown ") {
        return None;
    }
    let closest = known
        .map(|word| (strsim::damerau_levenshtein(given, word), word))
        .min()?;
    // A third of the word wrong is a slip; more is another word.
    (closest.0 * 3 <= given.len().max(3)).then(|| closest.1.to_owned())
}

#[cfg(test)]
mod tests {
    //! What is wrong is refused with its place; the shipped example says exactly the defaults.

    use super::*;

    #[track_caller]
    fn refused(text: &str, error: &str) {
        let shown = parse(Path::new("control.toml"), text)
            .unwrap_err()
            .to_string();
        assert!(shown.contains(error), "`{shown}` does not say `{error}`");
    }

    #[test]
    fn nothing_turns_certificates_off() {
        for key in [
            "tls = false",
            "insecure = true",
            "plain = true",
            "client_auth = \"optional\"",
            "plaintext_listen = \"[::]:80\"",
        ] {
            refused(&format!("[network]\n{key}"), "unknown field");
        }
        refused("[listen]\ntcp = \"[::]:80\"", "unknown field");
    }

    #[test]
    fn how_long_grants_count_on_a_host_that_hears_nothing_is_as_it_is_written() {
        let freshness =
            |text| parse(Path::new("control.toml"), text).map(|it| it.delivery.freshness);
        let span = Some(DurationMs::from_secs(15 * 60));
        assert_eq!(freshness("[delivery]\nfreshness = \"15m\""), Ok(span));
        assert_eq!(freshness("[delivery]"), Ok(None));
    }

    #[test]
    fn mistakes_are_refused_with_line_and_suggestion() {
        refused(
            "[listen]\n\noperater = \"/x\"",
            "control.toml:3:1: unknown field `operater`",
        );
        refused("[listen]\n\noperater = \"/x\"", "did you mean `operators`?");
        refused("[identity]\npins = \"agnet\"", "did you mean `agent`?");
        refused("[operators]\nusers = [\"a b\"]", "control.toml:2:");
        refused("[operators]\nusers = []\ngroups = []", "names nobody");
        refused("[network]\ncertificate_lifetime = \"5s\"", "must be from");
        refused(
            "[delivery]\noldest_protocol = 99",
            "no agent would be served",
        );
        refused("[delivery]\nfreshness = \"5s\"", "must be from 1m");
        refused("[delivery]\nfreshness = \"soon\"", "control.toml:2:");
        refused("[network]\nlisten = \"7443\"", "control.toml:2:");
        refused(
            "[oidc]\nissuer = \"http://idp\"",
            "must begin with https://",
        );
        refused(
            "[oidc]\nissuer = \"https://idp\"",
            "without `network.listen`",
        );
        refused("[oidc]\ndevice_flow = true", "without `oidc.issuer`");
        refused("[oidc]\nsession_lifetime = \"2d\"", "must be from");
        refused(
            "[oidc]\nclient_secret_file = \"secret\"",
            "`oidc.client_secret_file` must be an absolute path",
        );
        refused(
            "[network]\naddress = \"a b:1\"",
            "`network.address` must be",
        );
        refused(
            "[listen]\nhosts = \"relative\"",
            "`listen.hosts` must be an absolute path",
        );
        refused(
            "[listen]\nhosts = \"/run/stayhand/control.sock\"",
            "another path",
        );
        refused(
            "[people]\nfile = \"people.toml\"",
            "`people.file` must be an absolute path",
        );
        refused(
            "[authorization]\npolicies = \"a.cedar\"",
            "`authorization.policies` must be an absolute path",
        );
        refused(
            "[policies]\nstages = [{ count = 2, of = [\"user:bob\"] }]",
            "the stage needs 2 people and names 1",
        );
        refused("[state]\ndatabase_mib_max = 1", "must be from 4");
        refused("[state", "control.toml:1:");
    }

    #[test]
    fn a_file_that_was_asked_for_must_be_there() {
        let missing = Path::new("/nonexistent/control.toml");
        assert!(
            load(missing, false)
                .unwrap_err()
                .to_string()
                .contains("cannot read `/nonexistent/control.toml`")
        );
        assert_eq!(load(missing, true), Ok(Config::default()));
    }

    #[test]
    fn the_shipped_example_says_the_defaults() {
        let example = include_str!("../../../packaging/control.toml");
        assert_eq!(
            parse(Path::new("control.toml"), example),
            Ok(Config::default())
        );
    }
}
