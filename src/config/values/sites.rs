//! Values that say where somebody is asked, and as whom.

use std::net::SocketAddr;

use toml::Value;

use super::{strings, text};
use crate::config::value_error::ValueError;
use crate::units::Raw;

/// A server's URL.
pub(in crate::config) fn http_url(value: &Value) -> Result<Option<String>, ValueError> {
    let given = text(value, "a URL in quotes, or \"\" for none")?;
    if given.is_empty() {
        return Ok(None);
    }
    let url = url::Url::parse(given).map_err(|source| ValueError::Url {
        url: given.to_owned(),
        source,
    })?;
    let rule = match url.scheme() {
        "http" | "https" if !url.username().is_empty() || url.password().is_some() => {
            "holds a password; put it into the file that credentials_file names"
        }
        "http" | "https" if url.query().is_some() || url.fragment().is_some() => {
            "has a ? or #; write scheme, host and port alone"
        }
        "http" | "https" if url.has_host() => {
            return Ok(Some(url.as_str().trim_end_matches('/').to_owned()));
        }
        _ => "is not an HTTP URL; write for example \"http://127.0.0.1:5051\"",
    };
    Err(ValueError::UrlForm {
        url: given.to_owned(),
        rule,
    })
}

/// A URL in which `{host}` stands for the name of a host.
pub(in crate::config) fn host_url(value: &Value) -> Result<String, ValueError> {
    let given = text(value, "a URL with {host} in it, in quotes")?;
    let form = |rule| ValueError::UrlForm {
        url: given.to_owned(),
        rule,
    };
    if given.matches("{host}").count() != 1 {
        return Err(form(
            "does not say where the name of a host belongs; write for example \"http://{host}:5061\"",
        ));
    }
    let example = Value::String(given.replace("{host}", "host"));
    match http_url(&example)? {
        Some(_) => Ok(given.trim_end_matches('/').to_owned()),
        None => Err(form("is empty; write for example \"http://{host}:5061\"")),
    }
}

/// A principal's name, as Mesos writes it into reservations.
pub(in crate::config) fn principal(value: &Value) -> Result<Option<Raw>, ValueError> {
    let given = text(
        value,
        "a principal in quotes, or \"\" for the one of credentials_file",
    )?;
    Ok((!given.is_empty()).then(|| Raw::from(given)))
}

pub(in crate::config) fn urls(value: &Value) -> Result<Vec<String>, ValueError> {
    strings(value)?
        .into_iter()
        .filter_map(|one| http_url(&Value::String(one)).transpose())
        .collect()
}

pub(in crate::config) fn address(value: &Value) -> Result<Option<SocketAddr>, ValueError> {
    match text(
        value,
        "an IP address with a port in quotes, or \"\" for none",
    )? {
        "" => Ok(None),
        given => given
            .parse()
            .map(Some)
            .map_err(|source| ValueError::Address {
                given: given.to_owned(),
                source,
            }),
    }
}
