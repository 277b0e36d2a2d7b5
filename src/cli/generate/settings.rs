//! mesos-volumed.toml(5), from the sample configuration: that is where each key is documented, with
//! its default, and a test holds it against the keys that the program knows.

use std::fmt::Write as _;

use super::escaped;

const SAMPLE: &str = include_str!("../../../config/mesos-volumed.toml");

/// The page.
pub(super) fn page() -> String {
    let mut text = format!(
        ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.TH mesos\\-volumed.toml 5 \"\" \"mesos\\-volumed {}\" \
         \"File Formats\"\n.SH NAME\nmesos\\-volumed.toml \\- configuration of the storage sidecar of \
         a Mesos agent\n.SH DESCRIPTION\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut prose: Vec<&str> = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    let mut is_begun = false;
    for line in SAMPLE.lines().chain([""]) {
        if let Some(section) = section(line) {
            if !is_begun {
                text.push_str(".SH SECTIONS AND KEYS\n");
                is_begun = true;
            }
            let _infallible = writeln!(text, ".SS \"{}\"", escaped(section));
            paragraphs(&std::mem::take(&mut prose), &mut text);
        } else if let Some(key) = line.strip_prefix('#').filter(|key| is_setting(key)) {
            keys.push(key);
        } else if let Some(words) = line.strip_prefix('#') {
            prose.push(words.strip_prefix(' ').unwrap_or(words));
        } else if !keys.is_empty() {
            for (number, key) in keys.drain(..).enumerate() {
                let request = if number == 0 { ".TP" } else { ".TQ" };
                let _infallible = writeln!(text, "{request}\n.B {}", escaped(key));
            }
            paragraphs(&std::mem::take(&mut prose), &mut text);
        } else if !is_begun && !prose.is_empty() {
            // What the file says of itself, before the first section.
            paragraphs(&std::mem::take(&mut prose), &mut text);
        }
    }
    text.push_str(".SH SEE ALSO\nmesos\\-volumed(8)\n");
    text
}

/// The heading of a section; that of a rule stands in a comment, as its keys do.
fn section(line: &str) -> Option<&str> {
    let line = line
        .strip_prefix("#[")
        .map_or(line, |_| line.trim_start_matches('#'));
    (line.starts_with('[') && line.ends_with(']')).then_some(line)
}

/// Settings begin right behind their `#`, prose after a blank.
fn is_setting(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.contains(" = ")
}

/// Prose, with what is indented as it stands.
fn paragraphs(prose: &[&str], text: &mut String) {
    let mut is_code = false;
    for line in prose {
        let indented = line.starts_with("  ");
        if indented != is_code && !line.is_empty() {
            text.push_str(if indented { ".nf\n" } else { ".fi\n" });
            is_code = indented;
        }
        if line.is_empty() {
            text.push_str(".sp\n");
        } else {
            let _infallible = writeln!(text, "{}", escaped(line));
        }
    }
    if is_code {
        text.push_str(".fi\n");
    }
}
