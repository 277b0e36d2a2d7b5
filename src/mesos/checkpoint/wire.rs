//! The protobuf messages of Mesos that its agent writes to disk (include/mesos/mesos.proto,
//! src/slave/state.proto, src/resource_provider/state.proto), by field number.
//!
//! Everything here is optional, also what Mesos requires: presence is checked by `normal`, so that
//! a missing field is an error and never a default. Strings are bytes, because Mesos's writer lets
//! any bytes through. Enums are plain numbers, so that an unknown one is seen. Messages that carry
//! no volume are opaque bytes; they are declared all the same, because prost drops what is not.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Text {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Label {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Labels {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Scalar {
    #[prost(double, optional, tag = "1")]
    pub value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Range {
    #[prost(uint64, optional, tag = "1")]
    pub begin: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub end: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Ranges {
    #[prost(message, repeated, tag = "1")]
    pub range: Vec<Range>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Set {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub item: Vec<Vec<u8>>,
}

/// `Resource.AllocationInfo`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct AllocationInfo {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub role: Option<Vec<u8>>,
}

/// `Resource.ReservationInfo`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct ReservationInfo {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub principal: Option<Vec<u8>>,
    #[prost(message, optional, tag = "2")]
    pub labels: Option<Labels>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub role: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "4")]
    pub kind: Option<i32>,
}

/// `ReservationInfo.Type`: static.
pub(in crate::mesos) const STATIC: i32 = 1;
/// `ReservationInfo.Type`: dynamic.
pub(in crate::mesos) const DYNAMIC: i32 = 2;

/// `DiskInfo.Persistence`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Persistence {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub id: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub principal: Option<Vec<u8>>,
}

/// `Volume`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Volume {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub container_path: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub host_path: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "3")]
    pub mode: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub image: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub source: Option<Vec<u8>>,
}

/// `Volume.Mode`: read and write.
pub(in crate::mesos) const RW: i32 = 1;
/// `Volume.Mode`: read only.
pub(in crate::mesos) const RO: i32 = 2;

/// `DiskInfo.Source.Path` and `.Mount`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Root {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub root: Option<Vec<u8>>,
}

/// `DiskInfo.Source`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Source {
    #[prost(int32, optional, tag = "1")]
    pub kind: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub path: Option<Root>,
    #[prost(message, optional, tag = "3")]
    pub mount: Option<Root>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub id: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Labels>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub profile: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub vendor: Option<Vec<u8>>,
}

/// `DiskInfo.Source.Type`.
pub(in crate::mesos) const PATH: i32 = 1;
/// `DiskInfo.Source.Type`.
pub(in crate::mesos) const MOUNT: i32 = 2;
/// `DiskInfo.Source.Type`.
pub(in crate::mesos) const BLOCK: i32 = 3;
/// `DiskInfo.Source.Type`.
pub(in crate::mesos) const RAW: i32 = 4;

/// `Resource.DiskInfo`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct DiskInfo {
    #[prost(message, optional, tag = "1")]
    pub persistence: Option<Persistence>,
    #[prost(message, optional, tag = "2")]
    pub volume: Option<Volume>,
    #[prost(message, optional, tag = "3")]
    pub source: Option<Source>,
}

/// `Resource`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Resource {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub name: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "2")]
    pub kind: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub scalar: Option<Scalar>,
    #[prost(message, optional, tag = "4")]
    pub ranges: Option<Ranges>,
    #[prost(message, optional, tag = "5")]
    pub set: Option<Set>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub role: Option<Vec<u8>>,
    #[prost(message, optional, boxed, tag = "7")]
    pub disk: Option<Box<DiskInfo>>,
    #[prost(message, optional, boxed, tag = "8")]
    pub reservation: Option<Box<ReservationInfo>>,
    #[prost(message, optional, tag = "9")]
    pub revocable: Option<Empty>,
    #[prost(message, optional, tag = "10")]
    pub shared: Option<Empty>,
    #[prost(message, optional, tag = "11")]
    pub allocation_info: Option<AllocationInfo>,
    #[prost(message, optional, tag = "12")]
    pub provider_id: Option<Text>,
    #[prost(message, repeated, tag = "13")]
    pub reservations: Vec<ReservationInfo>,
}

/// `Value.Type`.
pub(in crate::mesos) const SCALAR: i32 = 0;
/// `Value.Type`.
pub(in crate::mesos) const RANGES: i32 = 1;
/// `Value.Type`.
pub(in crate::mesos) const SET: i32 = 2;
/// `Value.Type`.
pub(in crate::mesos) const TEXT: i32 = 3;

/// `mesos.internal.slave.ResourceState` and the first two fields of `ResourceProviderState`. The
/// members stay bytes here, so that each is checked before the next one takes memory.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct State {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub operations: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub resources: Vec<Vec<u8>>,
    /// `ResourceProviderState.storage`; an agent's `ResourceState` has no such field.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub storage: Option<Vec<u8>>,
}

/// `Operation`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Operation {
    #[prost(message, optional, tag = "1")]
    pub framework_id: Option<Text>,
    #[prost(message, optional, tag = "2")]
    pub slave_id: Option<Text>,
    #[prost(message, optional, tag = "3")]
    pub info: Option<OfferOperation>,
    #[prost(message, optional, tag = "4")]
    pub latest_status: Option<OperationStatus>,
    #[prost(message, repeated, tag = "5")]
    pub statuses: Vec<OperationStatus>,
    #[prost(message, optional, tag = "6")]
    pub uuid: Option<Text>,
}

/// `OperationStatus`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct OperationStatus {
    #[prost(message, optional, tag = "1")]
    pub operation_id: Option<Text>,
    #[prost(int32, optional, tag = "2")]
    pub state: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub message: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    pub converted_resources: Vec<Resource>,
    #[prost(message, optional, tag = "5")]
    pub uuid: Option<Text>,
    #[prost(message, optional, tag = "6")]
    pub slave_id: Option<Text>,
    #[prost(message, optional, tag = "7")]
    pub resource_provider_id: Option<Text>,
}

/// `OperationState`.
pub(in crate::mesos) const OPERATION_PENDING: i32 = 1;
/// `OperationState`.
pub(in crate::mesos) const OPERATION_FINISHED: i32 = 2;
/// `OperationState`.
pub(in crate::mesos) const OPERATION_FAILED: i32 = 3;
/// `OperationState`.
pub(in crate::mesos) const OPERATION_ERROR: i32 = 4;
/// `OperationState`.
pub(in crate::mesos) const OPERATION_DROPPED: i32 = 5;
/// `OperationState`.
pub(in crate::mesos) const OPERATION_GONE_BY_OPERATOR: i32 = 7;
/// `OperationState`: UNKNOWN, the last number there is.
pub(in crate::mesos) const OPERATION_UNKNOWN: i32 = 9;

/// `Offer.Operation.Reserve` (`resources`, `source`), and with `resources` alone `Unreserve`,
/// `Create` and `Destroy` (there the field is called `volumes`).
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Listed {
    #[prost(message, repeated, tag = "1")]
    pub resources: Vec<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub source: Vec<Resource>,
}

/// `Offer.Operation.GrowVolume`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct GrowVolume {
    #[prost(message, optional, tag = "1")]
    pub volume: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    pub addition: Option<Resource>,
}

/// `Offer.Operation.ShrinkVolume`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct ShrinkVolume {
    #[prost(message, optional, tag = "1")]
    pub volume: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    pub subtract: Option<Scalar>,
}

/// `Offer.Operation.CreateDisk`, and with `source` alone `DestroyDisk`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct DiskOperation {
    #[prost(message, optional, tag = "1")]
    pub source: Option<Resource>,
    #[prost(int32, optional, tag = "2")]
    pub target_type: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub target_profile: Option<Vec<u8>>,
}

/// `Offer.Operation`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct OfferOperation {
    #[prost(int32, optional, tag = "1")]
    pub kind: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub launch: Option<Vec<u8>>,
    #[prost(message, optional, tag = "3")]
    pub reserve: Option<Listed>,
    #[prost(message, optional, tag = "4")]
    pub unreserve: Option<Listed>,
    #[prost(message, optional, tag = "5")]
    pub create: Option<Listed>,
    #[prost(message, optional, tag = "6")]
    pub destroy: Option<Listed>,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub launch_group: Option<Vec<u8>>,
    #[prost(message, optional, tag = "12")]
    pub id: Option<Text>,
    #[prost(message, optional, boxed, tag = "13")]
    pub grow_volume: Option<Box<GrowVolume>>,
    #[prost(message, optional, boxed, tag = "14")]
    pub shrink_volume: Option<Box<ShrinkVolume>>,
    #[prost(message, optional, boxed, tag = "15")]
    pub create_disk: Option<Box<DiskOperation>>,
    #[prost(message, optional, boxed, tag = "16")]
    pub destroy_disk: Option<Box<DiskOperation>>,
}

/// `Offer.Operation.Type`.
pub(in crate::mesos) const RESERVE: i32 = 2;
/// `Offer.Operation.Type`.
pub(in crate::mesos) const UNRESERVE: i32 = 3;
/// `Offer.Operation.Type`.
pub(in crate::mesos) const CREATE: i32 = 4;
/// `Offer.Operation.Type`.
pub(in crate::mesos) const DESTROY: i32 = 5;
/// `Offer.Operation.Type`.
pub(in crate::mesos) const GROW_VOLUME: i32 = 11;
/// `Offer.Operation.Type`.
pub(in crate::mesos) const SHRINK_VOLUME: i32 = 12;
/// `Offer.Operation.Type`.
pub(in crate::mesos) const CREATE_DISK: i32 = 13;
/// `Offer.Operation.Type`.
pub(in crate::mesos) const DESTROY_DISK: i32 = 14;

/// `SlaveInfo`. Fields 2 and 4 (`webui_hostname`, `webui_port`) were written by agents before 0.23.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct SlaveInfo {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub hostname: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub webui_hostname: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    pub resources: Vec<Resource>,
    #[prost(int32, optional, tag = "4")]
    pub webui_port: Option<i32>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub attributes: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "6")]
    pub id: Option<Text>,
    #[prost(bool, optional, tag = "7")]
    pub checkpoint: Option<bool>,
    #[prost(int32, optional, tag = "8")]
    pub port: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub domain: Option<Vec<u8>>,
}

/// `Task`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct Task {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub name: Option<Vec<u8>>,
    #[prost(message, optional, tag = "2")]
    pub id: Option<Text>,
    #[prost(message, optional, tag = "3")]
    pub framework_id: Option<Text>,
    #[prost(message, optional, tag = "4")]
    pub executor_id: Option<Text>,
    #[prost(message, optional, tag = "5")]
    pub slave_id: Option<Text>,
    #[prost(int32, optional, tag = "6")]
    pub state: Option<i32>,
    #[prost(message, repeated, tag = "7")]
    pub resources: Vec<Resource>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub statuses: Vec<Vec<u8>>,
    #[prost(int32, optional, tag = "9")]
    pub status_update_state: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub status_update_uuid: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "11")]
    pub labels: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "12")]
    pub discovery: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "13")]
    pub container: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "14")]
    pub user: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "15")]
    pub health_check: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "16")]
    pub kill_policy: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "17")]
    pub limits: Vec<Vec<u8>>,
}

/// `ExecutorInfo`.
#[derive(Clone, PartialEq, Message)]
pub(in crate::mesos) struct ExecutorInfo {
    #[prost(message, optional, tag = "1")]
    pub executor_id: Option<Text>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    pub resources: Vec<Resource>,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub command: Option<Vec<u8>>,
    #[prost(message, optional, tag = "8")]
    pub framework_id: Option<Text>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub name: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "10")]
    pub source: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "11")]
    pub container: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "12")]
    pub discovery: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "13")]
    pub shutdown_grace_period: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "14")]
    pub labels: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "15")]
    pub kind: Option<i32>,
}
