use super::*;
use crate::mesos::disk::DiskRef;
use crate::units::Megabytes;

fn entry(kind: DiskType, root: &str, megabytes: u64) -> DiskEntry {
    DiskEntry {
        disk: DiskRef {
            kind,
            root: Raw::from(root),
        },
        size: Megabytes::whole(megabytes),
        role: Role::new("*"),
        extras: SourceExtras::default(),
        known: false,
    }
}

fn ours() -> Vec<DiskEntry> {
    vec![
        entry(DiskType::Root, "/work", 100),
        entry(DiskType::Path, "/data", 50),
        entry(DiskType::Mount, "/dcos/volume0", 7),
    ]
}

const ROOT: &str = r#"{"name":"disk","type":"SCALAR","scalar":{"value":100}}"#;
const PATH: &str = r#"{"name":"disk","type":"SCALAR","scalar":{"value":50},"disk":{"source":{"type":"PATH","path":{"root":"/data"}}}}"#;
const MOUNT: &str = r#"{"name":"disk","type":"SCALAR","scalar":{"value":7},"disk":{"source":{"type":"MOUNT","mount":{"root":"/dcos/volume0"}}}}"#;

fn try_merged(extra: &str, present: &[&str]) -> Result<Merged, MergeError> {
    let extra = Foreign::parse(extra).unwrap();
    let present: Vec<Written> = present
        .iter()
        .map(|text| Written::parse(text).unwrap())
        .collect();
    let present: Vec<&Written> = present.iter().collect();
    let was_ours = |kind, root: &Raw| kind == DiskType::Path && root.as_bytes() == b"/was/ours";
    merge(&ours(), &extra, &present, &was_ours, &Role::new("*"))
}

/// The entries that are written, and what is said about the others.
fn merged(extra: &str, present: &[&str]) -> (Vec<String>, Merged) {
    let merged = try_merged(extra, present).unwrap();
    let mut lines: Vec<String> = merged.text.json().lines().map(str::to_owned).collect();
    assert_eq!(
        (lines.remove(0), lines.pop().unwrap()),
        ("[".into(), "]".into())
    );
    let entries = lines
        .iter()
        .map(|line| line.trim().trim_end_matches(',').to_owned())
        .collect();
    (entries, merged)
}

fn path(root: &str, rest: &str) -> String {
    format!(
        r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":9}}{rest},"disk":{{"source":{{"type":"PATH","path":{{"root":"{root}"}}}}}}}}"#
    )
}

fn list(entries: &[&str]) -> String {
    format!("[{}]", entries.join(", "))
}

#[test]
fn other_resources_and_other_disks_stay_as_they_were_written() {
    let (entries, said) = merged(
        "",
        &[&list(&[
            r#"{"name": "gpus", "type": "SCALAR", "scalar": {"value": 1.0}, "role": "*"}"#,
            r#"{"name":"disk","type":"SCALAR","scalar":{"value":99}}"#,
            &path("/other", r#","role":"eng""#),
            r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}"#,
        ])],
    );
    assert_eq!(
        entries,
        [
            r#"{"name":"gpus","type":"SCALAR","scalar":{"value":1.0},"role":"*"}"#,
            r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}"#,
            &path("/other", r#","role":"eng""#),
            ROOT,
            PATH,
            MOUNT,
        ]
    );
    assert_eq!(said.kept.len(), 1);
    assert!(said.kept[0].contains("[PATH:/other]:9"), "{:?}", said.kept);
    assert!(said.replaced.is_empty());
}

#[test]
fn what_is_written_once_is_written_alike_a_second_time() {
    for (extra, present) in [
        ("", ""),
        ("cpus:2;mem:64", ""),
        ("cpus:2", "cpus:1;mem:64;ports:[1-2];disk:5"),
        ("", "cpus(*):1;mem(eng):64;mem:1"),
        ("cpus:2", &list(&[&path("/other", "")])),
    ] {
        let (first, once) = merged(extra, &[present]);
        let (second, twice) = merged(extra, &[&once.text.json()]);
        assert_eq!(first, second, "{present}");
        assert_eq!(once.text, twice.text);
        assert!(twice.replaced.is_empty(), "{:?}", twice.replaced);
    }
}

#[test]
fn nothing_is_doubled() {
    let doubled = list(&[
        ROOT,
        ROOT,
        MOUNT,
        MOUNT,
        PATH,
        &path("/other", ""),
        &path("/other", ""),
    ]);
    let (entries, said) = merged("cpus:2", &[&doubled, &doubled, "cpus:2;mem:1", "mem:1"]);
    let cpus = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":2}}"#;
    let mem = r#"{"name":"mem","type":"SCALAR","scalar":{"value":1}}"#;
    assert_eq!(entries, [cpus, mem, &path("/other", ""), ROOT, PATH, MOUNT]);
    assert!(said.replaced.is_empty(), "{:?}", said.replaced);
}

#[test]
fn a_name_of_the_configuration_is_taken_from_there_alone() {
    let (entries, said) = merged("cpus:2", &["cpus:1;cpus(eng):3;mem:64", "mem:128;gpus:1"]);
    for (entry, name) in entries.iter().zip(["cpus", "mem", "gpus", "disk"]) {
        assert!(
            entry.starts_with(&format!(r#"{{"name":"{name}","#)),
            "{entry}"
        );
    }
    assert!(entries[1].contains("64"), "the first that names it wins");
    assert_eq!(
        said.replaced,
        ["cpus:1", "cpus(reservations: [(STATIC,eng)]):3", "mem:128"]
    );
}

#[test]
fn a_disk_that_was_ours_and_is_not_offered_goes() {
    let (entries, said) = merged("", &[&list(&[&path("/was/ours", "")])]);
    assert_eq!(entries, [ROOT, PATH, MOUNT]);
    assert_eq!(said.replaced.len(), 1);
    assert!(said.kept.is_empty());
}

#[test]
fn vendor_profile_and_metadata_of_our_disks_stay() {
    let source = r#""type":"MOUNT","mount":{"root":"/dcos/volume0"},"vendor":"ac'me","profile":"fast","metadata":{"labels":[{"key":"rack","value":"7"},{"key":"bare"}]}"#;
    let written = format!(
        r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":7}},"disk":{{"source":{{{source}}}}}}}"#
    );
    let (entries, _) = merged("", &[&list(&[&written])]);
    assert_eq!(entries, [ROOT, PATH, &written]);
}

#[test]
fn what_cannot_be_joined_is_refused() {
    let odd = r#"{"name":"disk","type":"SCALAR","scalar":{"value":1},"disk":{}}"#;
    let raw =
        r#"{"name":"disk","type":"SCALAR","scalar":{"value":1},"disk":{"source":{"type":"RAW"}}}"#;
    let no_root = r#"{"name":"disk","type":"SCALAR","scalar":{"value":1},"disk":{"source":{"type":"PATH","path":{}}}}"#;
    for entry in [odd, raw, no_root] {
        let error = try_merged("", &[&list(&[entry])]).unwrap_err();
        assert!(matches!(error, MergeError::Odd { .. }), "{error}");
    }
    let id = r#"{"name":"disk","type":"SCALAR","scalar":{"value":1},"disk":{"source":{"type":"PATH","id":"x","path":{"root":"/data"}}}}"#;
    let error = try_merged("", &[&list(&[id])]).unwrap_err();
    assert!(matches!(error, MergeError::SourceId { .. }), "{error}");
    for root in ["/data/", "//data", "/./data"] {
        let error = try_merged("", &[&list(&[&path(root, "")])]).unwrap_err();
        assert!(matches!(error, MergeError::Spelling { .. }), "{error}");
    }
    let error = try_merged("", &["disk:5;disk(eng):6"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ROOT stands there for more than one role (*, eng); [root] gives it to one: leave one entry"
    );
    // A share of zero stands for nothing.
    assert!(try_merged("", &["disk:5;disk(eng):0"]).is_ok());
}

#[test]
fn a_text_that_an_agent_refuses_is_refused() {
    for text in [
        "cpus",
        "[{]",
        "{}",
        "[] []",
        r#"[{"name":"cpus"}]"#,
        "disk:-1",
    ] {
        assert!(Written::parse(text).is_err(), "{text}");
    }
    for text in ["", " \n", "[]", " [ ] "] {
        assert_eq!(Written::parse(text).unwrap(), Written::default(), "{text}");
    }
}

#[test]
fn a_role_that_is_written_out_is_not_lost_with_the_simple_form() {
    let json = |text: &str| Written::parse(text).unwrap().items.remove(0).json;
    assert!(json("cpus(*):1").ends_with(r#","role":"*"}"#));
    assert!(json("cpus(eng):1").ends_with(r#","role":"eng"}"#));
    assert!(json("cpus:1").ends_with(r#""scalar":{"value":1}}"#));
}

#[test]
fn a_delete_character_is_escaped() {
    let odd = r#"{"name":"x","type":"SET","set":{"item":["a"]}}"#.replace("\"a\"", "\"a\u{7f}\"");
    let (entries, said) = merged("", &[&list(&[&odd])]);
    assert!(entries[0].contains(r"a\u007f"), "{}", entries[0]);
    assert!(!said.text.env().unwrap().contains('\u{7f}'));
}

#[test]
fn under_a_default_role_an_entry_without_one_is_the_default_role_s() {
    let prod = Role::new("prod");
    let part = |role: &str| {
        let scalar = r#""type":"SCALAR","scalar":{"value":50}"#;
        format!(r#"{{"name":"disk",{role}{scalar}}}"#)
    };
    let ours = |roles: &[&str]| -> Vec<DiskEntry> {
        let entry = |role: &&str| DiskEntry {
            role: Role::new(*role),
            known: true,
            ..entry(DiskType::Root, "/work", 50)
        };
        roles.iter().map(entry).collect()
    };
    let merged = |present: &[String], roles: &[&str]| {
        let present = Written::parse(&format!("[{}]", present.join(","))).unwrap();
        let extra = Foreign::default();
        let merged = merge(&ours(roles), &extra, &[&present], &|_, _| false, &prod)?;
        let mut text = merged.text.json();
        text.retain(|c| c != '\n' && c != ' ');
        Ok::<_, MergeError>(text)
    };
    let (silent, star) = (part(""), part(r#""role":"*","#));
    let eng = part(r#""role":"eng","#);
    // ROOT stays divided as the agent has it, and may not be divided otherwise.
    let text = merged(&[silent.clone(), eng.clone()], &["eng", "prod"]).unwrap();
    assert_eq!(text.matches(r#""role":"eng""#).count(), 1, "{text}");
    assert_eq!(text.matches(r#""role":"prod""#).count(), 1, "{text}");
    let text = merged(&[silent.clone(), star.clone()], &["*", "prod"]).unwrap();
    assert_eq!(text.matches(r#""role":"*""#).count(), 1, "{text}");
    for (present, roles) in [
        ([&silent, &eng], ["*", "eng"]),
        ([&silent, &star], ["*", "eng"]),
    ] {
        let error = merged(&present.map(Clone::clone), &roles).unwrap_err();
        assert!(matches!(error, MergeError::Divided { .. }), "{error}");
    }
}
