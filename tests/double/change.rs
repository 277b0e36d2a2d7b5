//! What an operation does to resources.

use anyhow::Context as _;
use mesos_volumed::mesos::resource::{Resource, Value};
use mesos_volumed::mesos::state::OperationKind;
use mesos_volumed::units::Megabytes;
use serde::{Deserialize, Serialize};

use super::json::{J, at, list, object};
use super::resources::{self, Shape, before_reservation, plain_disk, with, without};

/// An operation on resources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// RESERVE.
    Reserve(Vec<Resource>),
    /// UNRESERVE.
    Unreserve(Vec<Resource>),
    /// CREATE.
    Create(Vec<Resource>),
    /// DESTROY.
    Destroy(Vec<Resource>),
    /// GROW_VOLUME: the volume, and what is added.
    Grow(Box<Resource>, Box<Resource>),
    /// SHRINK_VOLUME: the volume, and how much is taken from it.
    Shrink(Box<Resource>, Megabytes),
}

impl Change {
    /// Its name in `Offer.Operation.Type`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Reserve(_) => "RESERVE",
            Self::Unreserve(_) => "UNRESERVE",
            Self::Create(_) => "CREATE",
            Self::Destroy(_) => "DESTROY",
            Self::Grow(..) => "GROW_VOLUME",
            Self::Shrink(..) => "SHRINK_VOLUME",
        }
    }

    /// The kind, where an agent checkpoints it while it is pending.
    pub(crate) fn kind(&self) -> Option<OperationKind> {
        match self {
            Self::Create(_) => Some(OperationKind::Create),
            Self::Destroy(_) => Some(OperationKind::Destroy),
            Self::Reserve(_) | Self::Unreserve(_) | Self::Grow(..) | Self::Shrink(..) => None,
        }
    }

    /// The resources that it names.
    pub(crate) fn resources(&self) -> &[Resource] {
        match self {
            Self::Reserve(list)
            | Self::Unreserve(list)
            | Self::Create(list)
            | Self::Destroy(list) => list,
            Self::Grow(volume, _) | Self::Shrink(volume, _) => {
                std::slice::from_ref(volume.as_ref())
            }
        }
    }

    /// What there must be for it, and what it makes of that.
    pub(crate) fn conversion(&self) -> (Vec<Resource>, Vec<Resource>) {
        let each = |list: &[Resource], of: fn(&Resource) -> Resource| list.iter().map(of).collect();
        match self {
            Self::Reserve(list) => (each(list, before_reservation), list.clone()),
            Self::Unreserve(list) => (list.clone(), each(list, before_reservation)),
            Self::Create(list) => (each(list, plain_disk), list.clone()),
            Self::Destroy(list) => (list.clone(), each(list, plain_disk)),
            Self::Grow(volume, addition) => {
                let size = resources::sum([volume.as_ref(), addition.as_ref()].into_iter());
                let grown = sized(volume, size);
                (
                    vec![Resource::clone(volume), Resource::clone(addition)],
                    vec![grown],
                )
            }
            Self::Shrink(volume, by) => {
                let size = volume.megabytes().unwrap_or_default().thousandths();
                let left = Megabytes::from_thousandths(size.saturating_sub(by.thousandths()));
                let freed = sized(&plain_disk(volume), *by);
                (
                    vec![Resource::clone(volume)],
                    vec![sized(volume, left), freed],
                )
            }
        }
    }

    /// The resources after it; what is missing for it is said in Mesos's words.
    pub(crate) fn apply(&self, total: &[Resource]) -> anyhow::Result<Vec<Resource>> {
        let (consumed, converted) = self.conversion();
        Ok(with(&without(total, &consumed)?, &converted))
    }

    /// `Offer.Operation` as a v1 answer shows it.
    pub(crate) fn json(&self) -> J {
        let all = |list_of: &[Resource]| {
            list(
                list_of
                    .iter()
                    .map(|one| resources::json(one, &Shape::Post, None)),
            )
        };
        let (key, inner) = match self {
            Self::Reserve(one) => ("reserve", object([("resources", all(one))])),
            Self::Unreserve(one) => ("unreserve", object([("resources", all(one))])),
            Self::Create(one) => ("create", object([("volumes", all(one))])),
            Self::Destroy(one) => ("destroy", object([("volumes", all(one))])),
            Self::Grow(volume, addition) => (
                "grow_volume",
                object([
                    ("volume", resources::json(volume, &Shape::Post, None)),
                    ("addition", resources::json(addition, &Shape::Post, None)),
                ]),
            ),
            Self::Shrink(volume, by) => (
                "shrink_volume",
                object([
                    ("volume", resources::json(volume, &Shape::Post, None)),
                    ("subtract", object([("value", by.as_f64().into())])),
                ]),
            ),
        };
        object([("type", self.name().into()), (key, inner)])
    }

    /// The call of the operator API with this body.
    pub(crate) fn from_call(call: &serde_json::Value) -> anyhow::Result<Self> {
        let all = |call: &serde_json::Value, key: &str| -> anyhow::Result<Vec<Resource>> {
            at(call, &format!("/{key}"))
                .as_array()
                .with_context(|| format!("Expecting '{key}' to be present"))?
                .iter()
                .map(resources::from_json)
                .collect()
        };
        Ok(match at(call, "/type").as_str().unwrap_or_default() {
            "RESERVE_RESOURCES" => Self::Reserve(all(at(call, "/reserve_resources"), "resources")?),
            "UNRESERVE_RESOURCES" => {
                Self::Unreserve(all(at(call, "/unreserve_resources"), "resources")?)
            }
            "CREATE_VOLUMES" => Self::Create(all(at(call, "/create_volumes"), "volumes")?),
            "DESTROY_VOLUMES" => Self::Destroy(all(at(call, "/destroy_volumes"), "volumes")?),
            "GROW_VOLUME" => {
                let call = at(call, "/grow_volume");
                Self::Grow(
                    Box::new(resources::from_json(at(call, "/volume"))?),
                    Box::new(resources::from_json(at(call, "/addition"))?),
                )
            }
            "SHRINK_VOLUME" => {
                let call = at(call, "/shrink_volume");
                let by = at(call, "/subtract/value")
                    .as_f64()
                    .and_then(Megabytes::from_f64)
                    .context("Expecting 'subtract' to be present")?;
                Self::Shrink(Box::new(resources::from_json(at(call, "/volume"))?), by)
            }
            other => anyhow::bail!("{other} changes no resources"),
        })
    }
}

fn sized(one: &Resource, size: Megabytes) -> Resource {
    Resource {
        value: Value::Scalar(size),
        ..one.clone()
    }
}
