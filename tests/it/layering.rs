//! The arrows between the modules are those that `src/lib.rs` draws, and the pure ones reach no
//! effect. Test modules may import what they like.

#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Who may import what, below `crate::`. Everybody may import itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("mesos", &["units"]),
    ("decide", &["mesos", "units"]),
    ("sys", &["decide::facts", "units"]),
    (
        "observe",
        &[
            "decide::facts",
            "decide::ledger",
            "decide::manifest",
            "decide::memory",
            "decide::receipts",
            "decide::steps",
            "mesos",
            "sys",
            "units",
        ],
    ),
    (
        "act",
        &[
            "decide::check",
            "decide::facts",
            "decide::guards",
            "decide::held_back",
            "decide::ledger",
            "decide::manifest",
            "decide::memory",
            "decide::plan",
            "decide::prepare",
            "decide::steps",
            "decide::whole_device",
            "mesos",
            "sys",
            "units",
        ],
    ),
    ("config", &["decide::facts", "units"]),
    (
        "daemon",
        &[
            "act", "config", "decide", "mesos", "observe", "sys", "units",
        ],
    ),
    (
        "cli",
        &[
            "act", "config", "daemon", "decide", "mesos", "observe", "sys", "units",
        ],
    ),
];

/// Modules from which no effect may be reached.
const PURE: &[&str] = &["decide", "mesos", "units"];

/// What is an effect: a clock, a file, the network, the environment, a thread, randomness, a log.
const EFFECTS: &[&str] = &[
    "landlock",
    "libc",
    "nix",
    "notify",
    "rustix",
    "sd_notify",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "sysinfo",
    "tokio",
    "tracing",
    "ureq",
    "walkdir",
];

/// Functions that are effects by whatever path they are reached.
const EFFECT_NAMES: &[&str] = &["new_v4", "now_v7", "thread_rng"];

type Names = Vec<String>;

/// What one file says, apart from its test modules.
#[derive(Default)]
struct Seen {
    /// Every path, from the crate's root where it is one of ours.
    paths: BTreeSet<Names>,
    /// Test modules in files of their own.
    test_modules: BTreeSet<String>,
}

/// The module of a file below `src/`: `decide/facts/mod.rs` is `decide::facts`.
fn module_of(file: &Path) -> Names {
    let mut names: Names = file
        .with_extension("")
        .iter()
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    if matches!(
        names.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        names.pop();
    }
    names
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

/// From the crate's root on, for `crate`, `self` and `super`; as written otherwise.
fn resolve(path: &[String], module: &[String]) -> Names {
    let mut base: Option<Names> = None;
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        match (first.as_str(), &mut base) {
            ("crate", None) => base = Some(vec!["crate".to_owned()]),
            ("self", None) => {
                base = Some([&["crate".to_owned()], module].concat());
            }
            ("super", None) => {
                let mut parent = [&["crate".to_owned()], module].concat();
                parent.pop();
                base = Some(parent);
            }
            ("super", Some(parent)) => {
                parent.pop();
            }
            _ => break,
        }
        rest = tail;
    }
    [base.unwrap_or_default().as_slice(), rest].concat()
}

fn collect(tokens: TokenStream, module: &[String], prefix: &[String], seen: &mut Seen) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    let mut is_test = false;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = tokens.get(at + 1) {
                    let text = attribute.stream().to_string().replace(' ', "");
                    is_test |= text == "cfg(test)";
                }
                at += 1;
            }
            TokenTree::Ident(word) if word == "mod" && ident(tokens.get(at + 1)).is_some() => {
                let name = ident(tokens.get(at + 1)).unwrap();
                match tokens.get(at + 2) {
                    Some(TokenTree::Group(body)) if !is_test => {
                        let inner = [module, &[name]].concat();
                        collect(body.stream(), &inner, &[], seen);
                    }
                    Some(TokenTree::Group(_)) => {}
                    _ if is_test => {
                        seen.test_modules.insert(name);
                    }
                    _ => {}
                }
                is_test = false;
                at += 3;
            }
            TokenTree::Ident(_) => {
                let mut path = prefix.to_vec();
                path.push(ident(tokens.get(at)).unwrap());
                at += 1;
                while is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':') {
                    match tokens.get(at + 2) {
                        Some(TokenTree::Ident(name)) => path.push(name.to_string()),
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                            collect(group.stream(), module, &path, seen);
                        }
                        Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                            path.push("*".to_owned());
                        }
                        _ => break,
                    }
                    at += 3;
                }
                seen.paths.insert(resolve(&path, module));
            }
            TokenTree::Group(group) => {
                // A group that is no `{…}` of a use tree stands for itself.
                collect(group.stream(), module, &[], seen);
                is_test &= group.delimiter() != Delimiter::Brace;
                at += 1;
            }
            TokenTree::Punct(punct) => {
                is_test &= punct.as_char() != ';';
                at += 1;
            }
            TokenTree::Literal(_) => at += 1,
        }
    }
}

fn read(file: &Path, source: &str) -> Seen {
    let mut seen = Seen::default();
    let tokens = source
        .parse()
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    collect(tokens, &module_of(file), &[], &mut seen);
    seen
}

fn begins_with(path: &[String], prefix: &str) -> bool {
    let prefix: Vec<&str> = prefix.split("::").collect();
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(a, b)| a == b)
}

/// The forbidden arrows of one file.
fn violations(file: &Path, seen: &Seen) -> Vec<String> {
    let module = module_of(file);
    let Some(top) = module.first() else {
        // lib.rs declares the modules, main.rs calls the command line: nothing else.
        return seen
            .paths
            .iter()
            .filter(|path| path.len() > 1 && begins_with(path, "mesos_volumed"))
            .filter(|path| !begins_with(path, "mesos_volumed::cli"))
            .map(|path| format!("{}: {}", file.display(), path.join("::")))
            .collect();
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == top) else {
        return vec![format!("{}: module {top} has no arrows", file.display())];
    };
    let is_forbidden = |path: &Names| {
        let [root, inner @ ..] = path.as_slice() else {
            return false;
        };
        if root == "crate" {
            let Some(target) = inner.first() else {
                return false;
            };
            return target != top && !allowed.iter().any(|arrow| begins_with(inner, arrow));
        }
        PURE.contains(&top.as_str())
            && (EFFECTS.iter().any(|effect| {
                begins_with(path, effect) || begins_with(path, &effect.replace("std::", "core::"))
            }) || path
                .iter()
                .any(|name| EFFECT_NAMES.contains(&name.as_str())))
    };
    seen.paths
        .iter()
        .filter(|path| is_forbidden(path))
        .map(|path| format!("{}: {}", file.display(), path.join("::")))
        .collect()
}

/// Every source file below `src/`, by its path there.
fn sources() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walkdir::WalkDir::new(&src)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|ending| ending == "rs")
        })
        .map(|entry| {
            let file = entry.path().strip_prefix(&src).unwrap().to_path_buf();
            (file, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn no_arrow_points_the_wrong_way() {
    let files: Vec<(PathBuf, Seen)> = sources()
        .into_iter()
        .map(|(file, source)| {
            let seen = read(&file, &source);
            (file, seen)
        })
        .collect();
    assert!(files.len() > 20, "{}", files.len());
    // A module for tests may stand in a file of its own.
    let tests: BTreeSet<Names> = files
        .iter()
        .flat_map(|(file, seen)| {
            let module = module_of(file);
            seen.test_modules
                .iter()
                .map(move |name| [module.as_slice(), std::slice::from_ref(name)].concat())
        })
        .collect();
    let found: Vec<String> = files
        .iter()
        .filter(|(file, _)| {
            let module = module_of(file);
            !tests.iter().any(|test| module.starts_with(test))
        })
        .flat_map(|(file, seen)| violations(file, seen))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_of_the_crate_has_its_arrows() {
    let modules: BTreeSet<String> = sources()
        .iter()
        .filter_map(|(file, _)| module_of(file).first().cloned())
        .collect();
    let known: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(modules, known);
}

fn found(file: &str, source: &str) -> Vec<String> {
    violations(Path::new(file), &read(Path::new(file), source))
}

#[test]
fn the_test_itself_sees_forbidden_arrows() {
    for (file, source) in [
        ("decide/plan.rs", "use crate::observe::mounts;"),
        ("decide/plan.rs", "use crate::{mesos::ids, act};"),
        (
            "decide/plan.rs",
            "use crate::{mesos::ids::Role, sys::{self, stat}};",
        ),
        ("decide/plan.rs", "fn f() { crate::config::load(); }"),
        (
            "decide/plan/trash.rs",
            "use super::super::super::observe::x;",
        ),
        ("decide/plan.rs", "use std::time::{Duration, Instant};"),
        (
            "decide/plan.rs",
            "fn f() { let t = std::time::SystemTime::now(); }",
        ),
        ("decide/plan.rs", "use std::{collections::BTreeMap, fs};"),
        ("decide/plan.rs", "fn f() { tracing::info!(\"x\"); }"),
        (
            "decide/plan.rs",
            "fn f() { if true { vec![std::env::var(\"A\")]; } }",
        ),
        ("decide/plan.rs", "fn f() { Uuid::new_v4(); }"),
        ("mesos/checkpoint.rs", "use core::net::IpAddr;"),
        ("units/span.rs", "use crate::mesos::ids::Role;"),
        ("observe/mod.rs", "use crate::act::lock;"),
        ("observe/disks.rs", "use crate::decide::plan::plan;"),
        ("act/wipe.rs", "use crate::observe::read;"),
        ("act/wipe.rs", "use crate::decide::*;"),
        ("config/mod.rs", "use crate::mesos::disk::DiskType;"),
        ("daemon/mod.rs", "use crate::cli::Output;"),
        ("sys/open.rs", "use crate::act::sys;"),
        ("main.rs", "fn main() { mesos_volumed::act::wipe(); }"),
        ("novel/mod.rs", ""),
    ] {
        assert!(!found(file, source).is_empty(), "{file}: {source}");
    }
}

#[test]
fn the_test_itself_lets_drawn_arrows_and_test_modules_pass() {
    for (file, source) in [
        (
            "decide/plan.rs",
            "use super::facts::Facts; use crate::mesos::{ids::Role, disk};",
        ),
        (
            "decide/plan.rs",
            "// use crate::act;\nconst A: &str = \"crate::act::wipe std::fs::read\";",
        ),
        (
            "decide/plan.rs",
            "use std::time::Duration; use std::os::unix::ffi::OsStrExt as _;",
        ),
        (
            "decide/plan.rs",
            "pub(crate) fn f() {} pub(in crate::decide) fn g() {}",
        ),
        (
            "decide/plan.rs",
            "#[cfg(test)]\nmod tests { use std::fs; use crate::act::wipe; }",
        ),
        (
            "decide/plan.rs",
            "#[cfg(test)]\n#[expect(dead_code)]\nmod tests { use std::fs; }",
        ),
        (
            "act/wipe.rs",
            "use crate::decide::plan::Plan; use crate::sys::stat;",
        ),
        ("observe/mod.rs", "use std::fs; use tracing::warn;"),
        ("cli/mod.rs", "use crate::daemon; use crate::act::lock;"),
        ("main.rs", "fn main() { mesos_volumed::cli::main() }"),
    ] {
        assert_eq!(
            found(file, source),
            Vec::<String>::new(),
            "{file}: {source}"
        );
    }
    // What follows a test module is no test.
    let source = "#[cfg(test)]\nmod tests {}\nuse std::fs;";
    assert_eq!(found("decide/plan.rs", source).len(), 1);
    let source = "#[cfg(test)]\nuse std::env;\nmod inner { use std::fs; }";
    assert_eq!(found("decide/plan.rs", source).len(), 2);
    let source = "#[cfg(test)]\nfn helper() {}\nmod inner { use std::fs; }";
    assert_eq!(found("decide/plan.rs", source).len(), 1);
}

/// Beside hidden files; `target` is what Cargo builds.
#[test]
fn nothing_else_lies_at_the_top() {
    let known = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "config",
        "scripts",
        "src",
        "systemd",
        "target",
        "tests",
    ];
    for entry in std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || known.contains(&name.as_str()),
            "{name} lies at the top; the layout has no place for it there"
        );
    }
}
