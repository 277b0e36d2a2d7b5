//! `config/openapi.json`, made from the table of routes and the types of the answers.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::change::Hold;
use super::{At, Change, ROUTES, What};
use crate::daemon::answers::Failure;
use crate::daemon::answers::disks::Disks;
use crate::daemon::answers::jobs::Jobs;
use crate::daemon::answers::plan::Planned;
use crate::daemon::answers::receipts::Receipts;
use crate::daemon::answers::status::Status;
use crate::daemon::answers::trash::Trash;
use crate::daemon::answers::volumes::Volumes;
use crate::daemon::operate::{
    Accept, Adopt, Destroy, Operated, Purge, Recreate, Restore, Sweep, Wipe,
};

/// Which media type a route answers with, and what.
fn answer(what: What, types: &mut SchemaGenerator) -> (&'static str, Value) {
    fn of<T: JsonSchema>(types: &mut SchemaGenerator) -> (&'static str, Value) {
        ("application/json", types.subschema_for::<T>().to_value())
    }
    let text = ("text/plain", json!({ "type": "string" }));
    match what {
        What::Metrics | What::Health | What::Readiness => text,
        What::Page => ("text/html", json!({ "type": "string" })),
        What::PageStyle => ("text/css", json!({ "type": "string" })),
        What::PageScript => ("text/javascript", json!({ "type": "string" })),
        What::PageIcon => ("image/svg+xml", json!({ "type": "string" })),
        What::Events => ("text/event-stream", json!({ "type": "string" })),
        What::Status => of::<Status>(types),
        What::Disks => of::<Disks>(types),
        What::Volumes => of::<Volumes<'_>>(types),
        What::Trash => of::<Trash>(types),
        What::Plan => of::<Planned>(types),
        What::Receipts => of::<Receipts>(types),
        What::Change(Change::Pause | Change::Resume) | What::Jobs => of::<Jobs>(types),
        What::Change(
            Change::Sweep
            | Change::Purge
            | Change::Restore
            | Change::Wipe
            | Change::Recreate
            | Change::Accept
            | Change::Adopt
            | Change::Destroy,
        ) => of::<Operated>(types),
    }
}

/// What a change is told in the body.
fn body(change: Change, types: &mut SchemaGenerator) -> Value {
    match change {
        Change::Sweep => types.subschema_for::<Sweep>(),
        Change::Purge => types.subschema_for::<Purge>(),
        Change::Restore => types.subschema_for::<Restore>(),
        Change::Wipe => types.subschema_for::<Wipe>(),
        Change::Recreate => types.subschema_for::<Recreate>(),
        Change::Accept => types.subschema_for::<Accept>(),
        Change::Adopt => types.subschema_for::<Adopt>(),
        Change::Destroy => types.subschema_for::<Destroy>(),
        Change::Pause | Change::Resume => types.subschema_for::<Hold>(),
    }
    .to_value()
}

fn parameters(what: What) -> Vec<Value> {
    let parameter = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    let text = || json!({ "type": "string" });
    if what == What::Page {
        return vec![
            parameter("state", text(), "Only volumes in this state"),
            parameter("find", text(), "Only volumes in whose names this stands"),
            parameter(
                "page",
                json!({ "type": "integer", "minimum": 1 }),
                "The page of volumes",
            ),
            parameter(
                "sections",
                text(),
                "Only these sections of the page, split by commas",
            ),
        ];
    }
    if what != What::Receipts {
        return Vec::new();
    }
    vec![
        parameter("volume", text(), "Only this volume, as role/persistence-id"),
        parameter(
            "since",
            text(),
            "Only what is younger: a span such as 24h, or a moment such as 2026-11-20T12:00:00Z",
        ),
        parameter(
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": 100_000, "default": 1000 }),
            "The newest so many",
        ),
    ]
}

fn operation(
    route: &super::Route,
    types: &mut SchemaGenerator,
    bodies: &mut SchemaGenerator,
) -> Value {
    let (media, schema) = answer(route.what, types);
    let failure = match media {
        "text/plain" => json!({ "text/plain": { "schema": { "type": "string" } } }),
        _ => json!({ media: { "schema": types.subschema_for::<Failure>().to_value() } }),
    };
    let name = if let What::Change(change) = route.what {
        format!("{change:?}")
    } else {
        format!("{:?}", route.what)
    };
    let mut operation = json!({
        "operationId": name.to_lowercase(),
        "summary": route.summary,
        "tags": [match route.at {
            At::Both => "tcp and socket",
            At::Socket => "socket",
        }],
        "responses": {
            "200": { "description": "Done", "content": { media: { "schema": schema } } },
            "default": { "description": "It was not; why is said", "content": failure },
        },
    });
    if let What::Change(change) = route.what {
        let body = body(change, bodies);
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": body } } });
    }
    let parameters = parameters(route.what);
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    operation
}

fn document() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = "/components/schemas".into())
    };
    // What is answered has every field; what is asked for may leave those out that have a default.
    let mut types = settings().for_serialize().into_generator();
    let mut bodies = settings().for_deserialize().into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let method = route.what.method().as_str().to_lowercase();
        let operation = operation(route, &mut types, &mut bodies);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        assert!(path.get(&method).is_none(), "{} stands twice", route.path);
        path[method] = operation;
    }
    let mut schemas = types.take_definitions(true);
    for (name, schema) in bodies.take_definitions(true) {
        let other = schemas.insert(name.clone(), schema.clone());
        assert!(
            other.is_none_or(|other| other == schema),
            "{name} is asked for and answered in two forms"
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mesos-volumed",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the daemon answers over HTTP. Operations tagged `tcp and socket` are \
                answered on daemon.listen (TCP) and on daemon.socket (Unix), those tagged `socket` on \
                the socket alone; GET has HEAD beside it. Nothing over TCP changes anything.",
            "license": { "name": "Apache-2.0" },
        },
        "servers": [
            { "url": "http://127.0.0.1:5061", "description": "daemon.listen" },
            { "url": "http://localhost", "description": "daemon.socket: curl --unix-socket" },
        ],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it writes the file anew where it is told to"
)]
fn the_file_describes_every_route() {
    let made = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, &made).unwrap();
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    similar_asserts::assert_eq!(
        found,
        made,
        "config/openapi.json is not what the routes say; UPDATE_GOLDEN=1 cargo test --lib openapi \
         writes it anew"
    );
}
