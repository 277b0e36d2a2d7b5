//! From a list of mutants to programs that have them all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::weave::{Fate, Mutant, weave};

/// What was built: each mutant by its number, from 1, and the test programs.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Built {
    pub(crate) copy: PathBuf,
    pub(crate) programs: Vec<PathBuf>,
    pub(crate) mutants: BTreeMap<u32, String>,
    pub(crate) unviable: Vec<String>,
    pub(crate) apart: Vec<String>,
}

pub(crate) fn build(list: &Path, copy: &Path, built: &Path) {
    let all: Vec<Mutant> = serde_json::from_slice(&std::fs::read(list).unwrap()).unwrap();
    let mut files: BTreeMap<&str, Vec<(u32, &Mutant)>> = BTreeMap::new();
    for (id, mutant) in (1..).zip(&all) {
        files.entry(&mutant.file).or_default().push((id, mutant));
    }
    let source: BTreeMap<_, _> = files
        .keys()
        .map(|file| (*file, std::fs::read_to_string(copy.join(file)).unwrap()))
        .collect();
    prepare(copy);
    let mut without = BTreeMap::new();
    let mut keep_const = BTreeSet::new();
    let (fates, programs) = loop {
        let mut fates = BTreeMap::new();
        for (file, mutants) in &files {
            let (text, of_file) = weave(&source[file], mutants, &without, &keep_const);
            std::fs::write(copy.join(file), text).unwrap();
            fates.extend(of_file);
        }
        let mut answer = compile(copy, &["check", "--lib"]);
        if answer.programs.is_some() {
            answer = compile(copy, &["test", "--no-run", "--lib", "--test", "it"]);
        }
        if let Some(programs) = answer.programs {
            // Some tests start it.
            let stand_in = compile(copy, &["build", "--example", "stand-in-agent"]);
            assert!(stand_in.programs.is_some(), "{}", stand_in.said);
            break (fates, programs);
        }
        let before = (without.len(), keep_const.len());
        for (file, bytes) in answer.wrong {
            let text = std::fs::read(copy.join(&file)).unwrap();
            for id in asked(&text, bytes) {
                let mutant = &all[usize::try_from(id).unwrap() - 1];
                without.insert(id, mutant.refused());
            }
        }
        keep_const.extend(answer.constant);
        eprintln!(
            "{}\nthe compiler refuses {} mutants, and {} functions have to stay constant",
            answer.said,
            without.len(),
            keep_const.len()
        );
        assert!(
            before < (without.len(), keep_const.len()),
            "what the compiler refuses is no mutant:\n{}",
            answer.said
        );
    };
    let of = |wanted: Fate| {
        let those = fates.iter().filter(move |(_, fate)| **fate == wanted);
        those.map(|(id, _)| (*id, all[usize::try_from(*id).unwrap() - 1].name.clone()))
    };
    let result = Built {
        copy: copy.to_owned(),
        programs,
        mutants: of(Fate::Woven).collect(),
        unviable: of(Fate::Unviable).map(|(_, name)| name).collect(),
        apart: of(Fate::Apart).map(|(_, name)| name).collect(),
    };
    println!(
        "{} mutants in one program; {} do not compile, {} would have to be built by themselves",
        result.mutants.len(),
        result.unviable.len(),
        result.apart.len()
    );
    std::fs::write(built, serde_json::to_vec_pretty(&result).unwrap()).unwrap();
}

/// The copy gets the questions, and loses the lints, which are about the program as it is.
fn prepare(copy: &Path) {
    std::fs::write(copy.join("src/mutants.rs"), include_str!("woven.rs")).unwrap();
    let edit = |file: &str, change: &dyn Fn(String) -> String| {
        let path = copy.join(file);
        std::fs::write(&path, change(std::fs::read_to_string(&path).unwrap())).unwrap();
    };
    edit("src/lib.rs", &|text| format!("{text}\npub mod mutants;\n"));
    edit("Cargo.toml", &|text| {
        let (before, lints) = text.split_once("[lints.rust]").unwrap();
        let after = lints.split_once("\n[profile.").map(|(_, rest)| rest);
        after.map_or(before.to_owned(), |rest| format!("{before}[profile.{rest}"))
    });
}

struct Answer {
    programs: Option<Vec<PathBuf>>,
    /// File and bytes of what it says.
    wrong: Vec<(String, std::ops::Range<usize>)>,
    constant: Vec<String>,
    said: String,
}

fn compile(copy: &Path, order: &[&str]) -> Answer {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(order)
        .args(["--quiet", "--message-format=json"])
        .env("RUSTFLAGS", "--cap-lints=allow")
        .current_dir(copy)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let mut answer = Answer {
        programs: None,
        wrong: Vec::new(),
        constant: Vec::new(),
        said: String::new(),
    };
    let mut programs = Vec::new();
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if let (true, Some(program)) = (
            message["profile"]["test"] == true,
            message["executable"].as_str(),
        ) {
            programs.push(PathBuf::from(program));
        }
        let said = &message["message"];
        if said["level"] != "error" {
            continue;
        }
        answer
            .said
            .push_str(said["rendered"].as_str().unwrap_or_default());
        let spans = said["spans"].as_array().map_or(&[][..], Vec::as_slice);
        for span in spans.iter().filter(|span| span["is_primary"] == true) {
            let at = |key: &str| usize::try_from(span[key].as_u64().unwrap()).unwrap();
            let file = span["file_name"].as_str().unwrap().to_owned();
            answer.wrong.push((file, at("byte_start")..at("byte_end")));
        }
        if said["code"]["code"] == "E0015" {
            // cannot call non-const function `a::b` in constants
            let text = said["message"].as_str().unwrap_or_default();
            let name = text.split('`').nth(1).unwrap_or_default();
            let name = name.rsplit("::").next().unwrap_or_default();
            answer.constant.push(name.to_owned());
        }
    }
    if output.status.success() {
        answer.programs = Some(programs);
    }
    answer
}

/// The mutants that are asked about in these bytes, or in their lines if none is.
fn asked(text: &[u8], bytes: std::ops::Range<usize>) -> BTreeSet<u32> {
    let here = ids(&text[bytes.clone()]);
    if !here.is_empty() {
        return here;
    }
    let is_end = |&byte: &u8| byte == b'\n';
    let start = text[..bytes.start]
        .iter()
        .rposition(is_end)
        .map_or(0, |at| at + 1);
    let end = text[bytes.end..]
        .iter()
        .position(is_end)
        .unwrap_or(text.len() - bytes.end);
    ids(&text[start..bytes.end + end])
}

fn ids(text: &[u8]) -> BTreeSet<u32> {
    let text = String::from_utf8_lossy(text);
    let mut ids = BTreeSet::new();
    for part in text.split("crate::mutants::is(").skip(1) {
        ids.extend(part.split(')').next().and_then(|id| id.parse::<u32>().ok()));
    }
    for part in text.split("), [").skip(1) {
        let those = part.split("])").next().unwrap_or_default();
        ids.extend(those.split(", ").filter_map(|id| id.parse::<u32>().ok()));
    }
    ids.remove(&u32::MAX);
    ids
}
