use super::*;
use crate::mesos::disk::SourceType;

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

fn three() -> Vec<DiskEntry> {
    vec![
        entry(DiskType::Mount, "/dcos/volume0", 240),
        entry(DiskType::Root, "/var/lib/mesos/slave", 4096),
        DiskEntry {
            role: Role::new("eng/db"),
            ..entry(DiskType::Path, "/mnt/data", 2048)
        },
    ]
}

fn json_of(foreign: &Foreign) -> Vec<&str> {
    let items = foreign.items();
    items.iter().map(|item| item.json.as_str()).collect()
}

#[test]
fn disks_have_the_three_documented_shapes() {
    let text = generate(&three(), &Foreign::default()).unwrap();
    assert_eq!(
        text.json(),
        r#"[
  {"name":"disk","type":"SCALAR","scalar":{"value":4096}},
  {"name":"disk","type":"SCALAR","scalar":{"value":2048},"role":"eng/db","disk":{"source":{"type":"PATH","path":{"root":"/mnt/data"}}}},
  {"name":"disk","type":"SCALAR","scalar":{"value":240},"disk":{"source":{"type":"MOUNT","mount":{"root":"/dcos/volume0"}}}}
]
"#
    );
}

#[test]
fn the_order_of_the_disks_changes_no_byte() {
    let foreign = Foreign::parse("cpus:2;mem:512").unwrap();
    let first = generate(&three(), &foreign).unwrap();
    let mut turned = three();
    turned.reverse();
    assert_eq!(generate(&turned, &foreign).unwrap().json(), first.json());
}

#[test]
fn what_is_written_is_what_an_agent_reads() {
    let mut disks = three();
    // A held MOUNT disk keeps its number to three decimals; ROOT that is not offered is zero.
    disks[0].size = Megabytes::from_thousandths(239_999);
    disks[1].size = Megabytes::default();
    let text = generate(&disks, &Foreign::parse("ports:[1-2, 5-9]").unwrap()).unwrap();
    let read = parse_resources(&text.json(), &Role::new("*")).unwrap();
    assert_eq!(read, text.resources());
    assert_eq!(read.len(), 4);
    assert_eq!(read[0].value, Value::Ranges(vec![(1, 2), (5, 9)]));
    assert_eq!(read[1].megabytes(), Some(Megabytes::default()));
    assert_eq!(
        read[3].megabytes(),
        Some(Megabytes::from_thousandths(239_999))
    );
    assert_eq!(read[3].source.as_ref().unwrap().kind, SourceType::Mount);
    assert!(text.json().contains("{\"value\":239.999}"));
}

#[test]
fn foreign_entries_are_kept_as_they_were_written() {
    let foreign = Foreign::parse(
        "[ {\"type\": \"SCALAR\", \"name\": \"cpus\", \"scalar\": {\"value\": 2.50}},\n\
         {\"name\":\"x y\",\"type\":\"SET\",\"set\":{\"item\":[\"a \\\" b\", \"c\\\\\"]},\"later\":null}]",
    )
    .unwrap();
    assert_eq!(
        json_of(&foreign),
        [
            r#"{"type":"SCALAR","name":"cpus","scalar":{"value":2.50}}"#,
            r#"{"name":"x y","type":"SET","set":{"item":["a \" b","c\\"]},"later":null}"#,
        ]
    );
    let simple =
        Foreign::parse(" cpus(eng):2.5;mem:1024;ports:[31000-32000];zones:{a,b} ").unwrap();
    assert_eq!(
        json_of(&simple),
        [
            r#"{"name":"cpus","type":"SCALAR","scalar":{"value":2.5},"role":"eng"}"#,
            r#"{"name":"mem","type":"SCALAR","scalar":{"value":1024}}"#,
            r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]}}"#,
            r#"{"name":"zones","type":"SET","set":{"item":["a","b"]}}"#,
        ]
    );
    assert_eq!(Foreign::parse("  ").unwrap(), Foreign::default());
    assert_eq!(Foreign::parse("[]").unwrap(), Foreign::default());
}

#[test]
fn what_is_no_foreign_entry_is_refused() {
    let error = |text: &str| Foreign::parse(text).unwrap_err();
    for text in [
        "disk:100",
        "Disk:100",
        r#"[{"name":"disk","type":"SCALAR","scalar":{"value":1}}]"#,
        r#"[{"name":"disk","type":"SCALAR","scalar":{"value":0},"disk":{"source":{"type":"PATH"}}}]"#,
    ] {
        assert!(matches!(error(text), ForeignError::Disk { .. }), "{text}");
    }
    for text in ["[{]", "{\"name\":\"cpus\"}", "[] []"] {
        assert!(matches!(error(text), ForeignError::Json(_)), "{text}");
    }
    for (text, words) in [
        ("cpus", "missing or extra ':' in cpus"),
        ("cpus:-1", "Bad type for resource cpus value -1 type TEXT"),
        ("cpus:nan", "Bad type for resource cpus value nan type TEXT"),
        (r#"[{"name":"cpus"}]"#, "Missing required fields: type"),
        (r#"["cpus"]"#, "Expecting a JSON object"),
        (
            r#"[{"name":"mem","type":"SCALAR","scalar":{"value":1},"disk":{}}]"#,
            "DiskInfo should not be set for mem resource",
        ),
    ] {
        let ForeignError::Refused(refused) = error(text) else {
            panic!("{text}")
        };
        assert!(refused.to_string().ends_with(words), "{refused}");
    }
}

#[test]
fn disks_that_lead_to_trouble_are_not_written() {
    let error = |change: fn(&mut Vec<DiskEntry>)| {
        let mut disks = three();
        change(&mut disks);
        generate(&disks, &Foreign::default())
            .unwrap_err()
            .to_string()
    };
    for (root, rule) in [
        ("mnt", "is not absolute"),
        ("", "is not absolute"),
        ("/", "the whole system"),
        ("/mnt/", "trailing or doubled slash"),
        ("/mnt//a", "trailing or doubled slash"),
        ("/mnt/../a", "a component"),
        ("/mnt/.", "a component"),
        ("/mnt/a\0b", "NUL"),
    ] {
        let mut disks = three();
        disks[0].disk.root = Raw::from(root);
        let words = generate(&disks, &Foreign::default())
            .unwrap_err()
            .to_string();
        assert!(words.contains(rule), "{root:?}: {words}");
    }
    assert!(error(|disks| disks[0].disk.root = Raw::new(*b"/mnt/\xff")).contains("not UTF-8"));
    assert!(error(|disks| disks[0].role = Role::new(b"\xff".to_vec())).contains("not UTF-8"));
    assert!(error(|disks| disks[0].role = Role::new("a b")).contains("white space"));
    assert!(error(|disks| disks[0].size = Megabytes::default()).contains("with 0 MB"));
    assert!(error(|disks| disks[1].size = Megabytes::from_thousandths(-1)).contains("with -0.001"));
    assert!(error(|disks| disks[2].disk.root = Raw::from("/dcos/volume0")).contains("two disks"));
    assert!(error(|disks| drop(disks.remove(1))).starts_with("0 disks of type ROOT"));
    assert!(error(|disks| disks.push(disks[1].clone())).starts_with("2 disks of type ROOT"));
}

#[test]
fn one_line_forms_are_quoted_for_their_readers() {
    let mut disks = three();
    disks[0].disk.root = Raw::from("/m/it's $HOME `x` \"q\" \\ \n é");
    let text = generate(&disks, &Foreign::default()).unwrap();
    let (env, flag) = (text.env().unwrap(), text.flag().unwrap());
    assert!(env.starts_with("MESOS_RESOURCES=\"[{\\\"name\\\":\\\"disk\\\""));
    assert!(
        env.contains(r#"/m/it's \$HOME \`x\` \\\"q\\\" \\\\ \\n é"#),
        "{env}"
    );
    assert!(flag.starts_with("--resources='[{\"name\":\"disk\""));
    assert!(
        flag.contains(r#"/m/it'\''s $HOME `x` \"q\" \\ \n é"#),
        "{flag}"
    );
    for line in [env, flag] {
        assert_eq!(line.lines().count(), 1);
        assert!(line.ends_with('\n'));
    }
}

#[test]
fn a_text_that_fits_into_no_variable_is_refused_with_a_way_out() {
    let many: Vec<DiskEntry> = (0..1200)
        .map(|index| entry(DiskType::Path, &format!("/mnt/disk{index}"), 1))
        .chain(three())
        .collect();
    let text = generate(&many, &Foreign::default()).unwrap();
    for form in [text.env(), text.flag()] {
        let words = form.unwrap_err().to_string();
        assert!(words.contains("more than the 131071"), "{words}");
        assert!(words.ends_with("--resources=file:///that/file"), "{words}");
    }
    assert_eq!(
        parse_resources(&text.json(), &Role::new("*"))
            .unwrap()
            .len(),
        1203
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn mesos_own_words_for_what_it_refuses() {
    let words = |text: &str| {
        parse_resources(text, &Role::new("*"))
            .unwrap_err()
            .to_string()
    };
    let disk = |rest: &str| {
        words(&format!(
            r#"[{{"name":"disk","type":"SCALAR","scalar":{{"value":1}},{rest}}}]"#
        ))
    };
    for (text, expected) in [
        (
            "a(:1",
            "Bad value for resources, mismatched parentheses in a(:1",
        ),
        (
            "a)b(c:1",
            "Bad value for resources, mismatched parentheses in a)b(c:1",
        ),
        (
            "a:[1-2",
            "Failed to parse resource a value [1-2 error Mismatched brackets",
        ),
        (
            "a:1[2-3]",
            "Failed to parse resource a value 1[2-3] error Unexpected '[' found",
        ),
        (
            "a:1{b}",
            "Failed to parse resource a value 1{b} error Unexpected '{' found",
        ),
        (
            "a:[1]",
            "Failed to parse resource a value [1] error Expecting one or more \"ranges\"",
        ),
        (
            "a:[1-x]",
            "Failed to parse resource a value [1-x] error Expecting non-negative integers in 'x'",
        ),
        (
            "a:  ",
            "Failed to parse resource a value    error Expecting non-empty string",
        ),
        ("a:{x,x}", "Invalid set resource: duplicated elements"),
        ("a:[5-2]", "Invalid ranges resource: begin > end"),
        (
            "a:1;a:[1-2]",
            "Resources with the same name ('a') but different types are not allowed",
        ),
        ("a(/x):1", "Role '/x' cannot start with a slash"),
        ("a(x/):1", "Role 'x/' cannot end with a slash"),
        (
            "a(x//y):1",
            "Role 'x//y' cannot contain two adjacent slashes",
        ),
        (
            "a(x/..):1",
            "Role 'x/..' cannot include '..' as a component",
        ),
        (
            "a(-x):1",
            "Role component '-x' is invalid because it starts with a dash",
        ),
        (
            "a(x y):1",
            "Role component 'x y' is invalid because it contains backspace or whitespace",
        ),
        ("a():1", "Empty role name is invalid"),
        (
            r#"[{"name":"p","type":"RANGES","ranges":{"range":[{"begin":1,"end":5},{"begin":5,"end":6}]}}]"#,
            "Invalid ranges resource: overlapping ranges",
        ),
        (
            r#"[{"name":1,"type":"SCALAR"}]"#,
            "Some JSON resources were not formatted properly: Not expecting a JSON number for field 'name'",
        ),
        (
            r#"[{"name":"p","type":"RANGES","ranges":{"range":[{}]}}]"#,
            "Some JSON resources were not formatted properly: Missing required fields: \
             ranges.range[0].begin, ranges.range[0].end",
        ),
    ] {
        assert_eq!(
            words(text),
            format!("Failed to determine agent resources: {expected}"),
            "{text}"
        );
    }
    for (rest, expected) in [
        (
            r#""reservations":[{"role":"a"}]"#,
            "Invalid reservation: 'Resource.ReservationInfo.type' field must be set.",
        ),
        (
            r#""reservations":[{"type":"STATIC"}]"#,
            "Invalid reservation: 'Resource.ReservationInfo.role' field must be set.",
        ),
        (
            r#""reservations":{"type":"STATIC","role":"*"}"#,
            "Invalid reservation: role \"*\" cannot be reserved",
        ),
        (
            r#""reservations":[{"type":"STATIC","role":"a"},{"type":"DYNAMIC","role":"b"}]"#,
            "Invalid refined reservation: role 'b' is not a refinement of 'a'",
        ),
        (
            r#""reservations":[{"type":"STATIC","role":"a"},{"type":"STATIC","role":"a/b"}]"#,
            "Invalid refined reservation: A refined reservation cannot be STATIC",
        ),
        (r#""shared":{}"#, "Only persistent volumes can be shared"),
        (
            r#""revocable":{}"#,
            "Revocable resources cannot be specified at the command line; do not include a \
             'revocable' key in the resources JSON",
        ),
    ] {
        assert_eq!(
            disk(rest),
            format!("Failed to determine agent resources: {expected}"),
            "{rest}"
        );
    }
    assert_eq!(
        disk(r#""role":"*","reservation":{}"#),
        "Check failed: !resource->has_reservation()"
    );
    assert_eq!(
        disk(r#""role":"a","disk":{"source":{"type":"PATH","path":{}}}"#),
        "PATH disk root directory is not specified 'disk(reservations: [(STATIC,a)])[PATH]:1'"
    );
}

#[test]
fn what_mesos_takes_is_taken() {
    let role = Role::new("prod");
    let read = parse_resources(
        r#"[{"name":"disk","type":"SCALAR","scalar":{"value":"10.5"},"unknown":[1],"role":null,
            "disk":{"source":{"type":"PATH","path":{"root":"/m"}}}},
           {"name":"p","type":"RANGES","ranges":{"range":{"begin":1.0,"end":"5"}},"role":"*"}]"#,
        &role,
    )
    .unwrap();
    assert_eq!(
        read[0].megabytes(),
        Some(Megabytes::from_thousandths(10_500))
    );
    assert_eq!(read[0].role(), Some(&role));
    assert_eq!(read[1].value, Value::Ranges(vec![(1, 5)]));
    assert_eq!(read[1].role(), None);
    assert_eq!(parse_resources("", &role).unwrap(), []);
    assert_eq!(parse_resources("[]", &role).unwrap(), []);
    let read = parse_resources("ports:[3-4,1-2];cpus(*):1e1;;", &role).unwrap();
    assert_eq!(read[0].value, Value::Ranges(vec![(1, 4)]));
    assert_eq!(read[1].megabytes(), Some(Megabytes::whole(10)));
    assert_eq!(read[1].role(), None);
}
