"""Random resources, written by protobuf code that is not ours.

Usage: vectors.py MESOS_PB2 CASES SEED

Prints one JSON object a line: a resource as `reserved_resources_full` of HTTP answers shows it
(`json`), as one record of resources.info before refinement (`pre`, hexadecimal, where the resource
has such a form), and as the only resource of a resources_and_operations.state (`post`).
`exact` says that nothing is in it that our own form leaves out.
"""

import importlib.util
import json
import random
import struct
import sys

from google.protobuf.json_format import MessageToDict


def load(path):
    """The generated module alone; its package does not import under Python 3."""
    spec = importlib.util.spec_from_file_location("mesos_pb2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STATIC = 1  # Resource.ReservationInfo.STATIC
NAMES = ["v1", "pg#pgdata#53ab", "data base", "ünï", "...", "-x", "*", "a'b\"c", "\u0085"]
ROLES = ["prod", "eng/db", "a/b/c", "märz", "a#b", "a:b", "a\\b", "role\u00a0x"]
ROOTS = ["/mnt/d0", "/dcos/volume0", "/srv/with space", "/ü", "relative/root", "/d/"]


def labels(rng, into):
    for number in range(rng.randint(1, 3)):
        label = into.labels.add()
        label.key = rng.choice(["k", "marathon_task_id", "ä", ""]) + str(number)
        if rng.random() < 0.7:
            label.value = rng.choice(["", "v", "postgres.53ab", "ß"])


def reservation(rng, into, kind, role):
    into.type = kind
    into.role = role
    # The form before refinement has neither for a static one.
    if kind == STATIC:
        return
    if rng.random() < 0.5:
        into.principal = rng.choice(["ops", "marathon", "p q"])
    if rng.random() < 0.3:
        labels(rng, into.labels)


def value(rng, resource, pb):
    what = rng.random()
    if what < 0.85:
        resource.name = "disk" if what < 0.7 else rng.choice(["cpus", "mem", "gpus"])
        resource.type = pb.Value.SCALAR
        thousandths = rng.choice([1, 500, 999, 1000, 64_000, 10**9, rng.randint(1, 10**10)])
        resource.scalar.value = thousandths / 1000
    elif what < 0.95:
        resource.name = "ports"
        resource.type = pb.Value.RANGES
        begin = rng.randint(0, 2**63)
        for _ in range(rng.randint(1, 3)):
            one = resource.ranges.range.add()
            one.begin = begin
            one.end = begin + rng.randint(0, 1000)
            begin = one.end + 2
    else:
        resource.name = "zones"
        resource.type = pb.Value.SET
        resource.set.item.extend(rng.sample(["a", "b", "ü", ""], rng.randint(1, 3)))


def disk(rng, resource, pb, may_be_volume):
    source = rng.choice([None, "PATH", "MOUNT", "RAW", "BLOCK"])
    if source is not None:
        into = resource.disk.source
        into.type = pb.Resource.DiskInfo.Source.Type.Value(source)
        if source == "PATH":
            into.path.root = rng.choice(ROOTS)
        elif source == "MOUNT":
            into.mount.root = rng.choice(ROOTS)
        if rng.random() < 0.3 or source in ("RAW", "BLOCK"):
            into.id = rng.choice(["vol-1", "ü", "a/b"])
            if rng.random() < 0.5:
                into.profile = "fast"
            if rng.random() < 0.5:
                labels(rng, into.metadata)
            if rng.random() < 0.5 and "vendor" in into.DESCRIPTOR.fields_by_name:
                into.vendor = "acme"
    if may_be_volume and source not in ("RAW", "BLOCK") and rng.random() < 0.7:
        resource.disk.persistence.id = rng.choice(NAMES)
        if rng.random() < 0.5:
            resource.disk.persistence.principal = "ops"
        resource.disk.volume.container_path = rng.choice(["data", "pg data", "ü"])
        resource.disk.volume.mode = pb.Volume.RW
        if rng.random() < 0.2:
            resource.shared.SetInParent()


def post_form(rng, pb):
    """A resource with its reservations as one stack, and whether we keep all of it."""
    resource, exact = pb.Resource(), True
    value(rng, resource, pb)
    stack = rng.choice([[], ["S"], ["D"], ["D"], ["D"], ["S", "D"], ["D", "D"], ["S", "D", "D"]])
    role = rng.choice(ROLES)
    for depth, kind in enumerate(stack):
        kind = pb.Resource.ReservationInfo.STATIC if kind == "S" else pb.Resource.ReservationInfo.DYNAMIC
        reservation(rng, resource.reservations.add(), kind, role + "/sub" * depth)
    if resource.name == "disk":
        disk(rng, resource, pb, bool(stack))
    if rng.random() < 0.1:
        resource.provider_id.value = "7d9f2a44-1111-4222-8333-abcdefabcdef"
    if rng.random() < 0.1:
        resource.allocation_info.role = role
        exact = False
    # Mesos refuses it on a disk and on a dynamic reservation, and so do we.
    if resource.name != "disk" and "D" not in stack and rng.random() < 0.2:
        resource.revocable.SetInParent()
        exact = False
    return resource, exact


def pre_form(resource, pb):
    """Role and `reservation`; nothing where the stack has no such form."""
    if len(resource.reservations) > 1:
        return None
    older = pb.Resource()
    older.CopyFrom(resource)
    older.ClearField("reservations")
    if not resource.reservations:
        older.role = "*"
        return older
    only = resource.reservations[0]
    older.role = only.role
    if only.type == pb.Resource.ReservationInfo.DYNAMIC:
        older.reservation.SetInParent()
        if only.HasField("principal"):
            older.reservation.principal = only.principal
        if only.HasField("labels"):
            older.reservation.labels.CopyFrom(only.labels)
    return older


def endpoint(resource, older):
    """Both forms at once, as HTTP answers have them; 64-bit numbers are numbers there."""
    shown = MessageToDict(resource, preserving_proto_field_name=True)
    if older is not None:
        old = MessageToDict(older, preserving_proto_field_name=True)
        for key in ("role", "reservation"):
            if key in old:
                shown[key] = old[key]
    for one in shown.get("ranges", {}).get("range", []):
        one["begin"], one["end"] = int(one["begin"]), int(one["end"])
    return shown


def record(body):
    return (struct.pack("<I", len(body)) + body).hex()


def field(number, body):
    """A length-delimited field; lengths here are below 2**14."""
    length = len(body)
    head = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
    return bytes([number << 3 | 2]) + head + body


def main():
    pb = load(sys.argv[1])
    rng = random.Random(int(sys.argv[3]))
    for _ in range(int(sys.argv[2])):
        resource, exact = post_form(rng, pb)
        older = pre_form(resource, pb)
        case = {
            "exact": exact,
            "json": endpoint(resource, older),
            "post": record(field(2, resource.SerializeToString(deterministic=True))),
        }
        if older is not None:
            case["pre"] = record(older.SerializeToString(deterministic=True))
        print(json.dumps(case, sort_keys=True))


main()
