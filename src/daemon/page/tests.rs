#![expect(
    clippy::disallowed_methods,
    reason = "pages are written anew where that is asked for"
)]

mod contrast;

use serde_json::json;

use super::*;
use crate::daemon::answers::disks::{DiskSeen, Filesystem, VerdictWord, VolumeName};
use crate::daemon::answers::volumes::{App, Volume};
use crate::daemon::answers::{self, Disk as DiskNamed};
use crate::decide::discover::Code;
use crate::decide::guards::Refusal;
use crate::decide::listing::VolumeState;
use crate::mesos::disk::DiskType;

/// 2026-11-20 12:00:00 UTC.
const NOW: i64 = 1_795_176_000;

/// Everything that breaks out of text, of an attribute, of an element.
const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}</section>";

fn status(volumes: &serde_json::Value) -> Status {
    serde_json::from_value(json!({
        "version": "0.1.0", "pid": 7, "state_dir": "/var/lib/mesos-volumed",
        "started_at": NOW - 90_000, "up_seconds": 90_000, "ready": true, "troubles": [], "fenced": true,
        "last_pass": {"ended_at": NOW - 12, "seconds": 0.25, "ok": true, "summary": "3 volumes held"},
        "disks": [], "disks_looked_at": NOW - 40, "resources_file": "written",
        "volumes": volumes, "trash": {"items": 0}, "jobs": [],
        "paused": {"all": false, "roots": []}, "alarms": {},
        "authorities": [
            {"name": "resources_and_operations.state", "state": "known", "reason": null,
             "good_seconds_ago": 12},
            {"name": "agent_state", "state": "unknown", "reason": "the agent recovers",
             "good_seconds_ago": null}],
        "doubts": [], "refusals": [],
    }))
    .unwrap()
}

fn volume(number: usize, state: VolumeState) -> Volume {
    Volume {
        id: Some(format!("db_pg#data#{number:04}")),
        id_base64: None,
        role: Some("slave_public".to_owned()),
        role_base64: None,
        disk: Some(DiskNamed {
            kind: DiskType::Path,
            root: "/mnt/fast".to_owned(),
            root_base64: None,
        }),
        path: format!("/mnt/fast/volumes/roles/slave_public/db_pg#data#{number:04}"),
        path_base64: None,
        state,
        size_mb: Some(2048.0),
        principal: Some("marathon".to_owned()),
        app: Some(App {
            app: "db_pg".to_owned(),
            container_path: "data".to_owned(),
            uuid: format!("{number:04}"),
        }),
        trash: None,
        reasons: Vec::new(),
        usage: None,
    }
}

fn volumes_text(volumes: &[Volume]) -> Vec<u8> {
    serde_json::to_vec(&json!({"volumes": volumes, "doubts": [], "alarms": []})).unwrap()
}

fn disk(root: &str, rejected: Option<Code>) -> DiskSeen {
    DiskSeen {
        kind: Some(DiskType::Path),
        root: Some(root.to_owned()),
        root_base64: None,
        verdict: if rejected.is_some() {
            VerdictWord::Rejected
        } else {
            VerdictWord::Offered
        },
        reason: rejected,
        explanation: "100 GiB less a reserve of 5 GiB".to_owned(),
        remedy: rejected.map(|_| "mount it".to_owned()),
        device: Some("/dev/sdb1".to_owned()),
        drive: None,
        filesystem: Some(Filesystem {
            fs_type: "xfs".to_owned(),
            uuid: None,
            label: None,
            label_base64: None,
            total_bytes: Some(100 << 30),
            free_bytes: Some(36 << 30),
        }),
        advertised_mb: Some(json!(97280)),
        number_reason: Some("total"),
        adopted_from: None,
        agent_would: None,
        role: None,
        rule: Some(0),
        held: vec![VolumeName {
            id: "a".to_owned(),
            id_base64: None,
            role: "r".to_owned(),
            role_base64: None,
        }],
    }
}

fn trash_text(name: &str) -> Vec<u8> {
    serde_json::to_vec(&json!({"items": [{
        "id": "0f4e", "role": "slave_public", "persistence_id": name,
        "disk": {"type": "PATH", "root": "/mnt/fast"}, "root": "/mnt/fast", "state": "cleared",
        "quarantined_at": NOW - 3600, "expires_in_ms": 5_400_012_000_u64, "age_ms": 3_600_000,
        "expires_at": NOW + 5_400_000, "may_go_early": true, "files": 1200, "bytes": 5_u64 << 30,
        "evidence": "a DESTROY of it was read", "reasons": []}]}))
    .unwrap()
}

/// A host on which something of everything is to be seen.
fn busy(name: &str) -> (Status, Disks, Vec<u8>, Vec<u8>) {
    let mut status = status(&json!({"held": 2, "orphan": 1}));
    let job = json!({
        "kind": "wipe", "role": "slave_public", "persistence_id": name,
        "disk": {"type": "PATH", "root": "/mnt/fast"}, "plan": "p1", "state": "slowed",
        "queued_at": NOW - 60, "started_at": NOW - 50, "files": 12_000, "directories": 400, "left": 0,
        "freed_bytes": 1 << 30, "overwritten_bytes": 0, "expected": 50_000, "rate": 240.0,
        "bytes_per_second": 0.0, "allowed_rate": 1000, "io_pressure": 31.0, "eta_seconds": 156,
        "text": ""});
    status.jobs = vec![serde_json::from_value(job).unwrap()];
    status.refusals = vec![Refused {
        code: Refusal::InUseFd,
        reason: Refusal::InUseFd.reason().to_owned(),
        remedy: Refusal::InUseFd.remedy().to_owned(),
        volumes: 1,
        roots: 0,
    }];
    let mut orphan = volume(3, VolumeState::Orphan);
    orphan.id = Some(name.to_owned());
    orphan.app = None;
    orphan.reasons = vec![answers::Why {
        code: Refusal::GracePeriod,
        reason: format!("{name}: seen for 3h, wiped after 24h"),
        remedy: Refusal::GracePeriod.remedy().to_owned(),
    }];
    let held = |number| volume(number, VolumeState::Held);
    let volumes = volumes_text(&[held(1), held(2), orphan]);
    let mut other = disk("/boot", Some(Code::ALL[0]));
    other.kind = None;
    let mut named = disk(name, None);
    named.explanation = name.to_owned();
    let disks = Disks {
        disks: vec![
            disk("/mnt/fast", None),
            disk("/mnt/gone", Some(Code::ALL[0])),
            named,
            other,
        ],
        warnings: vec![format!("{name} can't be read")],
    };
    (status, disks, volumes, trash_text(name))
}

fn drawn(
    status: &Status,
    disks: Option<&Disks>,
    seen: Option<(&[u8], &[u8])>,
    query: &str,
) -> String {
    let sight = Sight {
        host: "agent-17.example".to_owned(),
        now: NOW,
        status,
        disks,
        seen: seen.map(|(volumes, trash)| (volumes, trash, NOW - 12)),
    };
    draw(&sight, &Wanted::of_query(query)).unwrap()
}

#[track_caller]
fn is_golden(page: &str) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/page/busy.html");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, page).unwrap();
    }
    let golden = std::fs::read_to_string(file).unwrap_or_default();
    similar_asserts::assert_eq!(
        golden,
        page,
        "UPDATE_GOLDEN=1 cargo test --lib page:: writes it anew"
    );
}

/// Nothing that the policy forbids, and nothing from elsewhere.
#[track_caller]
fn keeps_to_the_policy(page: &str) {
    let lower = page.to_lowercase();
    for forbidden in [
        " style=",
        "<style",
        "javascript:",
        "http://",
        "https://",
        "<iframe",
        "<object",
    ] {
        assert!(!lower.contains(forbidden), "{forbidden}: {page}");
    }
    let scripts: Vec<&str> = lower.split("<script").skip(1).collect();
    assert_eq!(scripts.len(), 1, "{page}");
    assert!(
        scripts[0].starts_with(" src=\"/page.js\" defer></script>"),
        "{page}"
    );
    // No tag has a handler: what was written elsewhere opens no tag.
    for tag in lower.split('<').skip(1) {
        let inside = tag.split('>').next().unwrap_or_default();
        // Values in quotes are text; what would end them is escaped.
        let names: String = inside.split('"').step_by(2).collect();
        assert!(!names.contains(" on"), "{inside}");
    }
}

#[test]
fn a_busy_host_is_shown_with_all_that_is_told_of_it() {
    let (status, disks, volumes, trash) = busy("cache-2");
    let page = drawn(&status, Some(&disks), Some((&volumes, &trash)), "");
    keeps_to_the_policy(&page);
    for told in [
        "<b>64 %</b> used: 64 GiB of 100 GiB, 36 GiB free",
        "24 % done",
        "12,400 of about 50,000 files and directories gone",
        "about 2 min left",
        "62 d left, less where space is short",
        "in_use_fd",
        "principal <bdi>marathon</bdi>",
        "1 more that no rule names",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    // What does not change stands in the template.
    let names: Vec<&str> = Section::ALL.iter().map(|section| section.name()).collect();
    let query = format!("sections={}", names.join(","));
    let seen = (&volumes[..], &trash[..]);
    is_golden(&drawn(&status, Some(&disks), Some(seen), &query));
}

#[test]
fn an_empty_host_and_one_that_was_not_looked_at_are_told_apart() {
    let page = drawn(
        &status(&json!({})),
        Some(&Disks {
            disks: Vec::new(),
            warnings: Vec::new(),
        }),
        Some((&volumes_text(&[]), br#"{"items":[]}"#)),
        "",
    );
    keeps_to_the_policy(&page);
    assert!(page.contains("There is no volume on this host."), "{page}");
    assert!(page.contains("The trash is empty."), "{page}");

    let mut early = status(&json!(null));
    (early.last_pass, early.disks_looked_at, early.ready) = (None, None, false);
    early.authorities.clear();
    let page = drawn(&early, None, None, "");
    assert!(page.contains("The first pass has not ended yet"), "{page}");
    assert!(!page.contains("There is no volume"), "{page}");
    assert!(!page.contains("The trash is empty"), "{page}");
}

#[test]
fn hostile_names_stay_text() {
    let (mut status, disks, volumes, trash) = busy(HOSTILE);
    status.troubles = vec![HOSTILE.to_owned()];
    status.ready = false;
    if let Some(pass) = &mut status.last_pass {
        HOSTILE.clone_into(&mut pass.summary);
    }
    let sight = Sight {
        host: HOSTILE.to_owned(),
        now: NOW,
        status: &status,
        disks: Some(&disks),
        seen: Some((&volumes, &trash, NOW)),
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("state", HOSTILE)
        .append_pair("find", HOSTILE);
    for query in [String::new(), query.finish()] {
        let page = draw(&sight, &Wanted::of_query(&query)).unwrap();
        keeps_to_the_policy(&page);
        assert_eq!(page.matches("<img").count(), 1, "{page}");
        assert_eq!(page.matches("</section>").count(), 7, "{page}");
        assert!(!page.contains("49"), "it was computed: {page}");
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    }
}

#[test]
fn a_thousand_volumes_come_a_hundred_at_a_time_and_trouble_first() {
    let mut volumes: Vec<Volume> = (0..1000)
        .map(|number| volume(number, VolumeState::Held))
        .collect();
    volumes[999].state = VolumeState::Vanished;
    volumes[998].state = VolumeState::Orphan;
    let text = volumes_text(&volumes);
    let trash = br#"{"items":[]}"#;
    let status = status(&json!({"held": 998, "orphan": 1, "vanished": 1}));
    let page = |query: &str| drawn(&status, None, Some((&text, trash)), query);
    let rows = |page: &str| page.matches("<tr role=\"row\">").count() - 1;

    let first = page("");
    assert_eq!(rows(&first), 100);
    let (vanished, orphan) = (first.find("#0999").unwrap(), first.find("#0998").unwrap());
    assert!(vanished < orphan && orphan < first.find("#0000").unwrap());
    assert!(first.contains("1 to 100 of 1000"), "{first}");
    assert!(first.contains("href=\"/?page=2#volumes\""), "{first}");
    assert!(first.len() < 200_000, "{} bytes", first.len());

    assert_eq!(rows(&page("page=10")), 100);
    assert!(!page("page=10").contains("rel=\"next\""));
    assert_eq!(rows(&page("state=orphan")), 1);
    assert_eq!(rows(&page("find=%230123")), 1);
    assert_eq!(rows(&page("find=DB_PG%23DATA%230123&state=held")), 1);
    assert_eq!(rows(&page("page=0")), 100);
    for none in [
        "page=99999999999999999999",
        "page=18446744073709551615",
        "find=nowhere",
    ] {
        let text = page(none);
        assert!(text.contains("id=\"volumes\""), "{none}: {text}");
    }
    // Each volume is on one page.
    let mut seen = std::collections::BTreeSet::new();
    for number in 1..=10 {
        let text = page(&format!("page={number}"));
        for rest in text
            .split("class=\"name\">slave_public/db_pg#data#")
            .skip(1)
        {
            let name: String = rest.chars().take(4).collect();
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }
    assert_eq!(seen.len(), 1000);
}

#[test]
fn a_section_is_drawn_alone() {
    let (status, disks, volumes, trash) = busy("x");
    let whole = drawn(&status, Some(&disks), Some((&volumes, &trash)), "");
    for section in Section::ALL {
        let query = format!("sections={}", section.name());
        let alone = drawn(&status, Some(&disks), Some((&volumes, &trash)), &query);
        assert!(
            alone.contains(&format!("<section id=\"{}\"", section.name())),
            "{alone}"
        );
        assert_eq!(alone.matches("<section").count(), 1, "{alone}");
        assert!(whole.contains(alone.trim()), "{alone}");
        assert!(SCRIPT.contains(section.name()));
    }
    let two = drawn(
        &status,
        Some(&disks),
        Some((&volumes, &trash)),
        "sections=trash,novel,work",
    );
    assert_eq!(two.matches("<section").count(), 2, "{two}");
}

#[test]
fn the_policy_lets_in_nothing_inline_and_nothing_from_elsewhere() {
    assert!(POLICY.starts_with("default-src 'none';"));
    for loose in ["unsafe", "*", "data:", "http", "blob:"] {
        assert!(!POLICY.contains(loose), "{loose}");
    }
    for elsewhere in ["http:", "https:", "//"] {
        let without_comments = SCRIPT.replace("// ", "");
        assert!(!without_comments.contains(elsewhere), "{elsewhere}");
        assert!(
            !STYLE.contains(elsewhere) && !STYLE.contains("@import") && !STYLE.contains("url(")
        );
    }
    assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("eval("));
}
