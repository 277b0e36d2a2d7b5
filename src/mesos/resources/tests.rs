use super::*;
use crate::mesos::ids::{PersistenceId, Role};
use crate::mesos::resource::{Persistence, Reservation, ReservationType, Value};
use crate::mesos::resources_json::read_resources;
use crate::units::Raw;

fn list(text: &str) -> Resources {
    read_resources(text, &Role::new("*")).unwrap().resources
}

/// A disk entry with this beside its name, type and value.
fn disk(megabytes: &str, rest: &str) -> String {
    format!(r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":{megabytes}}}{rest}}}"#)
}

fn at(kind: &str, root: &str) -> String {
    let member = kind.to_lowercase();
    format!(r#","disk":{{"source":{{"type":"{kind}","{member}":{{"root":"{root}"}}}}}}"#)
}

fn of(entries: &[String]) -> Resources {
    list(&format!("[{}]", entries.join(",")))
}

#[test]
fn numbers_print_as_mesos_prints_them() {
    for (number, text) in [
        (2.0, "2"),
        (0.001, "0.001"),
        (239.999, "239.999"),
        (99_999_999.0, "99999999"),
        (999_999_999_999_999.0, "999999999999999"),
        (1e15, "1e+15"),
        (9_000_000_000_000_000.0, "9e+15"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.0, "0"),
        (-5.5, "-5.5"),
        (f64::INFINITY, "inf"),
    ] {
        assert_eq!(print::digits15(number), text);
    }
}

#[test]
fn what_can_be_one_entry_is_one() {
    let one = of(&[
        disk("1024", &at("PATH", "/p")),
        disk("240", &at("MOUNT", "/m")),
        disk("1024", &at("PATH", "/p")),
        disk("240", &at("MOUNT", "/m")),
        disk("1", r#","role":"prod""#),
        disk("0", ""),
        disk("2", r#","disk":{}"#),
    ]);
    assert_eq!(
        one.to_string(),
        "disk[PATH:/p]:2048; disk[MOUNT:/m]:240; disk[MOUNT:/m]:240; \
         disk(reservations: [(STATIC,prod)]):1; disk[]:2"
    );
    assert_eq!(Resources::default().to_string(), "{}");
    assert_eq!(
        list("ports:[3-4];ports:[1-2,8-9];zones:{a};zones:{b,a}").to_string(),
        "ports:[1-4, 8-9]; zones:{a, b}"
    );
}

#[test]
fn lists_are_equal_without_their_order_to_three_decimals() {
    let base = of(&[
        disk("10", ""),
        disk("240", &at("MOUNT", "/m")),
        disk("7", &at("PATH", "/p")),
    ]);
    for (other, equal) in [
        (
            vec![
                disk("240.0004", &at("MOUNT", "/m")),
                disk("3", &at("PATH", "/p")),
                disk("10", ""),
                disk("4", &at("PATH", "/p")),
            ],
            true,
        ),
        (
            vec![
                disk("10", ""),
                disk("240.001", &at("MOUNT", "/m")),
                disk("7", &at("PATH", "/p")),
            ],
            false,
        ),
        (
            vec![
                disk("10", ""),
                disk("240", &at("MOUNT", "/m")),
                disk("7", &at("PATH", "/p/")),
            ],
            false,
        ),
        // An empty `disk` is not the same as none.
        (
            vec![
                disk("10", r#","disk":{}"#),
                disk("240", &at("MOUNT", "/m")),
                disk("7", &at("PATH", "/p")),
            ],
            false,
        ),
    ] {
        assert_eq!(base.equals(&of(&other)), equal, "{other:?}");
        assert_eq!(of(&other).equals(&base), equal, "{other:?}");
    }
}

#[test]
fn a_mount_is_contained_only_as_a_whole() {
    let base = of(&[
        disk("240", &at("MOUNT", "/m")),
        disk("240", &at("PATH", "/p")),
    ]);
    let entry = |megabytes: &str, kind: &str, root: &str| {
        of(&[disk(megabytes, &at(kind, root))]).entries()[0].clone()
    };
    assert!(base.contains(&entry("240", "MOUNT", "/m")));
    assert!(!base.contains(&entry("239.999", "MOUNT", "/m")));
    assert!(!base.contains(&entry("241", "MOUNT", "/m")));
    assert!(base.contains(&entry("239.999", "PATH", "/p")));
    assert!(!base.contains(&entry("240.001", "PATH", "/p")));
}

#[test]
fn what_becomes_nothing_leaves_its_place_to_the_last() {
    let mut resources = list("a:1;b:2;c:3;ports:[1-10]");
    let gone = list("a:1;b:0.5;ports:[1-2,5-6,10-20]");
    for entry in gone.entries() {
        resources.subtract(entry);
    }
    assert_eq!(resources.to_string(), "ports:[3-4, 7-9]; b:1.5; c:3");
    resources.subtract(&list("zones:{a}").entries()[0]);
    assert_eq!(resources.entries().len(), 3);
}

#[test]
fn a_checkpointed_entry_is_stripped_to_what_it_stands_on() {
    let volume = super::super::checkpoint::decode_state(&STATE).unwrap();
    let super::super::checkpoint::Content::Whole(state) = volume else {
        panic!("the file is empty")
    };
    let entry = Entry::from(&state.resources[0]);
    assert_eq!(
        entry.to_string(),
        "disk(reservations: [(DYNAMIC,a/b,p)])[PATH:/m/a,v1:data]:1024"
    );
    assert!(entry.is_checkpointed());
    assert_eq!(entry.stripped().to_string(), "disk[PATH:/m/a]:1024");
    assert_eq!(
        entry.without_volume().to_string(),
        "disk(reservations: [(DYNAMIC,a/b,p)])[PATH:/m/a]:1024"
    );
    assert_eq!(
        entry.volume_path(&Raw::from("/w")),
        Some(Raw::from("/m/a/volumes/roles/a b/v1"))
    );
    assert_eq!(entry.label(), "PATH:/m/a of role a/b");
}

/// The vector of a `.state` with one volume (mesos-facts 4.6).
const STATE: [u8; 70] = [
    0x42, 0, 0, 0, 0x12, 0x40, 0x0a, 0x04, 0x64, 0x69, 0x73, 0x6b, 0x10, 0, 0x1a, 0x09, 0x09, 0, 0,
    0, 0, 0, 0, 0x90, 0x40, 0x3a, 0x1f, 0x0a, 0x07, 0x0a, 0x02, 0x76, 0x31, 0x12, 0x01, 0x70, 0x12,
    0x08, 0x0a, 0x04, 0x64, 0x61, 0x74, 0x61, 0x18, 0x01, 0x1a, 0x0a, 0x08, 0x01, 0x12, 0x06, 0x0a,
    0x04, 0x2f, 0x6d, 0x2f, 0x61, 0x6a, 0x0a, 0x0a, 0x01, 0x70, 0x1a, 0x03, 0x61, 0x2f, 0x62, 0x20,
    0x02,
];

#[test]
fn everything_prints_in_all_three_ways() {
    let text = format!(
        r#"[{{"name":"ports","type":"RANGES","ranges":{{"range":[{{"begin":1,"end":2}}]}}}},
            {{"name":"z","type":"SET","set":{{"item":["a\"b","é"]}},"revocable":null}},{}]"#,
        disk(
            "1.23456",
            r#","reservations":[{"type":"STATIC","role":"r","principal":"me",
                "labels":{"labels":[{"key":"k","value":"v"},{"key":"only"}]}}],
               "disk":{"source":{"type":"PATH","path":{"root":"/p"},"vendor":"acme","id":"x1",
                "metadata":{"labels":[{"key":"k","value":"v"}]},"profile":"fast"}}"#
        )
    );
    let resources = list(&text);
    assert_eq!(
        resources.to_string(),
        "ports:[1-2]; z:{a\"b, é}; \
         disk(reservations: [(STATIC,r,me,{k: v, only})])[PATH(acme,x1,fast)]:1.235"
    );
    assert_eq!(
        resources.json(),
        concat!(
            r#"[{"name":"ports","ranges":{"range":[{"begin":1,"end":2}]},"type":"RANGES"},"#,
            r#"{"name":"z","set":{"item":["a\"b","é"]},"type":"SET"},"#,
            r#"{"disk":{"source":{"id":"x1","metadata":{"labels":[{"key":"k","value":"v"}]},"#,
            r#""path":{"root":"/p"},"profile":"fast","type":"PATH","vendor":"acme"}},"#,
            r#""name":"disk","reservations":[{"labels":{"labels":[{"key":"k","value":"v"},"#,
            r#"{"key":"only"}]},"principal":"me","role":"r","type":"STATIC"}],"#,
            r#""scalar":{"value":1.23456},"type":"SCALAR"}]"#
        )
    );
    let mut format = TextFormat::default();
    for entry in resources.entries() {
        entry.write(&mut format);
    }
    similar_asserts::assert_eq!(
        format.into_text(),
        r#"name: "ports"
type: RANGES
ranges {
  range {
    begin: 1
    end: 2
  }
}
name: "z"
type: SET
set {
  item: "a\"b"
  item: "\303\251"
}
name: "disk"
type: SCALAR
scalar {
  value: 1.23456
}
disk {
  source {
    type: PATH
    path {
      root: "/p"
    }
    id: "x1"
    metadata {
      labels {
        key: "k"
        value: "v"
      }
    }
    profile: "fast"
    vendor: "acme"
  }
}
reservations {
  principal: "me"
  labels {
    labels {
      key: "k"
      value: "v"
    }
    labels {
      key: "only"
    }
  }
  role: "r"
  type: STATIC
}
"#
    );
}

/// An entry of a role, with these labels on its reservation, and a persistence id where it is a volume.
fn labelled(name: &str, labels: &[&str], id: Option<&str>, shared: bool) -> Entry {
    Entry::from(&Resource {
        name: name.into(),
        value: Value::Scalar(Megabytes::whole(1)),
        reservations: vec![Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new("r"),
            principal: None,
            labels: labels.iter().map(|key| ((*key).into(), None)).collect(),
        }],
        source: None,
        persistence: id.map(|id| Persistence {
            id: PersistenceId::new(id),
            principal: None,
            container_path: None,
        }),
        shared,
        provider_id: None,
    })
}

#[test]
fn an_entry_is_compared_with_its_like_alone_however_many_others_are_held() {
    let of_task = |n: usize| {
        let task = format!("task{n}");
        [
            labelled("cpus", &[&task], None, false),
            labelled("disk", &[&task], None, false),
            labelled("disk", &[&task], Some(&task), false),
        ]
    };
    let entries: Vec<Entry> = (0..300).flat_map(of_task).collect();
    let all: Resources = entries.iter().cloned().collect();
    assert_eq!(all.entries().len(), 900);
    for entry in &entries {
        let compared = std::cell::Cell::new(0_usize);
        let found = all.position(entry, |held| {
            compared.set(compared.get().saturating_add(1));
            held.contains(entry)
        });
        assert!(found.is_some());
        assert_eq!(compared.get(), 1, "{entry}");
    }
    assert!(all.equals(&entries.iter().rev().cloned().collect()));
}

#[test]
fn the_first_that_fits_is_found_wherever_entries_were_put_taken_and_moved() {
    let pool = [
        labelled("cpus", &["a"], None, false),
        labelled("cpus", &["a", "b"], None, false),
        labelled("cpus", &["b", "a"], None, false),
        // Mesos finds that the first has every label of the second, and not the other way round.
        labelled("cpus", &["a", "a"], None, false),
        labelled("disk", &["a"], None, false),
        labelled("disk", &["a"], Some("v"), false),
        labelled("disk", &["a"], Some("w"), false),
        labelled("disk", &["a"], Some("s"), true),
        labelled("disk", &["a", "a"], Some("v"), false),
    ];
    let mut all = Resources::default();
    let mut number = 1_u32;
    for _ in 0..2_000 {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let entry = &pool[usize::try_from(number >> 16).unwrap() % pool.len()];
        if number & 0x400 == 0 || all.entries().len() > 20 {
            all.subtract(entry);
        } else {
            all.add(entry);
        }
        for entry in &pool {
            let rules: [&dyn Fn(&Entry) -> bool; 4] = [
                &|held| held.addable(entry),
                &|held| held.subtractable(entry),
                &|held| held.contains(entry),
                &|held| held.same_metadata(entry),
            ];
            for rule in rules {
                let plainly = all.entries().iter().position(rule);
                assert_eq!(all.position(entry, rule), plainly, "{entry} in {all}");
            }
        }
    }
    let two = labelled("cpus", &["a", "a"], None, false);
    let of_both: Resources = [two.clone()].into_iter().collect();
    assert!(of_both.contains(&pool[1]));
    let of_both: Resources = [pool[1].clone()].into_iter().collect();
    assert!(!of_both.contains(&two));
}
