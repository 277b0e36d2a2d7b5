//! A call as an operator would make it by hand.

use serde_json::Value;

/// As whom a call is made by hand: principals and names of files, never what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurlAs {
    /// The principal; curl asks for the secret.
    pub principal: Option<String>,
    /// The file with a bearer token.
    pub token_file: Option<String>,
    /// `ca_file`.
    pub ca_file: Option<String>,
    /// `cert_file`.
    pub cert_file: Option<String>,
    /// `key_file`.
    pub key_file: Option<String>,
}

/// One line for a shell that posts this body to the operator API at this URL.
#[must_use]
pub fn curl(url: &str, body: &Value, who: &CurlAs) -> String {
    by_hand("POST", &format!("{url}/api/v1"), Some(body), who)
}

/// One line for a shell that makes this request.
#[must_use]
pub fn by_hand(method: &str, url: &str, body: Option<&Value>, who: &CurlAs) -> String {
    let mut words = vec![format!(
        "curl --fail-with-body --location --request {method}"
    )];
    if body.is_some() {
        words.push("--header 'Content-Type: application/json'".to_owned());
    }
    if let Some(file) = &who.token_file {
        // bash hands it over in a pipe: the token is in no history and in no list of processes.
        words.push(format!(
            "--header @<(printf 'Authorization: Bearer %s' \"$(cat {})\")",
            quoted(file)
        ));
    } else if let Some(principal) = &who.principal {
        words.push(format!("--user {}", quoted(principal)));
    }
    for (option, file) in [
        ("--cacert", &who.ca_file),
        ("--cert", &who.cert_file),
        ("--key", &who.key_file),
    ] {
        if let Some(file) = file {
            words.push(format!("{option} {}", quoted(file)));
        }
    }
    if let Some(body) = body {
        words.push(format!("--data {}", quoted(&body.to_string())));
    }
    words.push(quoted(url));
    words.join(" ")
}

/// A word that a shell takes as it is.
#[must_use]
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_by_hand_names_files_and_no_secret_and_survives_a_shell() {
        let who = CurlAs {
            principal: Some("ops".to_owned()),
            ..CurlAs::default()
        };
        let line = curl("http://m:5050", &serde_json::json!({"a": "it's"}), &who);
        assert_eq!(
            line,
            "curl --fail-with-body --location --request POST --header 'Content-Type: \
             application/json' --user 'ops' --data '{\"a\":\"it'\\''s\"}' 'http://m:5050/api/v1'"
        );
        let who = CurlAs {
            token_file: Some("/etc/a b".to_owned()),
            ca_file: Some("/etc/ca.pem".to_owned()),
            ..who
        };
        let line = curl("https://m:5050", &Value::Null, &who);
        assert!(
            line.contains("\"$(cat '/etc/a b')\") --cacert '/etc/ca.pem'"),
            "{line}"
        );
        assert!(!line.contains("--user"), "{line}");
    }
}
