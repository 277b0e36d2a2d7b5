//! Decoding a checkpoint of 10,000 volumes, both generations, and its encoding.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mesos_volumed::mesos::checkpoint::{
    Form, OperationContext, decode_info, decode_state, encode_info, encode_state,
};
use mesos_volumed::mesos::disk::{DiskSource, SourceType};
use mesos_volumed::mesos::ids::{PersistenceId, Role};
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::mesos::state::ResourceState;
use mesos_volumed::units::{Megabytes, Raw};

const VOLUMES: u64 = 10_000;

fn volume(index: u64) -> Resource {
    Resource {
        name: Raw::from("disk"),
        value: Value::Scalar(Megabytes::whole(index)),
        reservations: vec![Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new("slave_public"),
            principal: Some(Raw::from("marathon")),
            labels: vec![(
                Raw::from("marathon_framework_id"),
                Some(Raw::from("53ab8732-fd96-11e5-8e70-76a1c19f8c3d-0000")),
            )],
        }],
        source: Some(DiskSource {
            kind: SourceType::Path,
            root: Some(Raw::from("/mnt/data")),
            id: None,
            vendor: None,
            profile: None,
            metadata: Vec::new(),
        }),
        persistence: Some(Persistence {
            id: PersistenceId::new(format!(
                "app_{index}#data#53ab8732-fd96-11e5-8e70-76a1c19f8c3e"
            )),
            principal: Some(Raw::from("marathon")),
            container_path: Some(Raw::from("data")),
        }),
        shared: false,
        provider_id: None,
    }
}

fn decode(criterion: &mut Criterion) {
    let volumes: Vec<Resource> = (0..VOLUMES).map(volume).collect();
    let context = OperationContext {
        agent_id: b"agent-S0",
        status_uuid: [0; 16],
    };
    let whole = ResourceState {
        operations: Vec::new(),
        resources: volumes.clone(),
    };
    let (Ok(state), Ok(info)) = (
        encode_state(&whole, &context),
        encode_info(&volumes, Form::Pre),
    ) else {
        return;
    };
    let mut group = criterion.benchmark_group("checkpoint of 10,000 volumes");
    group.throughput(Throughput::Elements(VOLUMES));
    group.bench_function("decode .state", |bench| {
        bench.iter(|| decode_state(black_box(&state)));
    });
    group.bench_function("decode resources.info", |bench| {
        bench.iter(|| decode_info(black_box(&info)));
    });
    group.bench_function("encode .state", |bench| {
        bench.iter(|| encode_state(black_box(&whole), &context));
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
