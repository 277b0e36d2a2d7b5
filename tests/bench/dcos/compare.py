#!/usr/bin/env python3
"""mesos-volumed beside what DC/OS's own generator does: nine inputs that break it, and the time it takes.

  compare.py inputs PROGRAM          a table of the nine, each really run
  compare.py time PROGRAM [MOUNTS]   the time of a run, as a ratio

As root, in a mount namespace of its own: whatever is mounted here ends with that.
"""

import collections
import ctypes
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = 15
TRIES = 100

Result = collections.namedtuple("Result", "code words disks names")


def run(*arguments, **more):
    return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **more)


def do(*arguments):
    done = run(*arguments)
    if done.returncode != 0:
        sys.exit(f"{arguments}: {done.stderr.decode()}")
    return done.stdout.decode().strip()


class Host:
    """A folder with a work_dir on a disk of its own, and places for volumes."""

    def __init__(self, program):
        self.program = program
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="mesos-volumed-"))
        self.volumes = self.at("dcos/volume")
        self.disk("work", 400)
        with open(self.at("config.toml"), "w", encoding="utf-8") as file:
            file.write(
                f'[agent]\nwork_dir = "{self.at("work")}"\nurl = ""\n'
                f'[root]\nreserve = "50MiB"\n[daemon]\nstate_dir = "{self.at("state")}"\n'
                f'[discovery]\nsettle = "0s"\n[resources]\nformat = "dcos"\n'
                f'[[disks]]\ntype = "MOUNT"\npaths = ["{self.volumes}*"]\nreserve = "10MiB"\n'
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        table = do("findmnt", "--noheadings", "--list", "--output", "TARGET").splitlines()
        for path in reversed(table):
            if path.startswith(self.folder + "/"):
                do("umount", "--lazy", path)
        shutil.rmtree(self.folder)

    def at(self, name):
        return os.path.join(self.folder, name)

    def volume(self, number):
        return self.volumes + str(number)

    def disk(self, name, mib):
        """An ext4 of so many MiB, mounted there."""
        image = tempfile.mkstemp(prefix="image", dir=self.folder)[1]
        os.truncate(image, mib << 20)
        do("mkfs.ext4", "-q", "-F", image)
        os.makedirs(self.at(name), exist_ok=True)
        for _ in range(TRIES):
            device = run("losetup", "--find", "--show", image)
            if device.returncode == 0:
                break
            # Another looked for a free one at the same time.
            time.sleep(0.1)
        device = device.stdout.decode().strip()
        do("mount", device, self.at(name))
        # It goes with its last mount.
        do("losetup", "--detach", device)

    def commands(self, who, resources=None):
        """The file that one of both writes, the command, and its environment."""
        file = self.at(who)
        environment = {"PATH": os.environ["PATH"], "VOLUMES": self.volumes}
        environment["MESOS_WORK_DIR"] = self.at("work")
        if resources is not None:
            environment["MESOS_RESOURCES"] = resources
        if who == "theirs":
            command = [sys.executable, os.path.join(HERE, "generator.py"), file]
        else:
            command = [self.program, "--config", self.at("config.toml"), "resources"]
            command += ["--format", "dcos", "--write", file]
        return file, command, environment

    def run(self, who, resources=None):
        file, command, environment = self.commands(who, resources)
        done = run(*command, env=environment, timeout=60)
        if done.returncode not in (0, 4):
            last = done.stderr.decode().strip().splitlines()[-1]
            words = f"exit {done.returncode}, {last.split(':')[0].split('.')[-1]}"
            return Result(done.returncode, words, {}, [])
        # As a shell reads it; systemd refuses what is not closed as well.
        read = run("sh", "-c", '. "$1"; printf %s "$MESOS_RESOURCES"', "sh", file)
        try:
            entries = json.loads(read.stdout)
        except ValueError:
            return Result(0, "writes a file that can't be read", {}, [])
        disks = collections.defaultdict(list)
        for entry in entries:
            if entry["name"] == "disk":
                source = entry.get("disk", {}).get("source")
                root = source["mount"]["root"] if source else "ROOT"
                disks[root.replace(self.folder, "")].append(entry["scalar"]["value"])
        names = [entry["name"] for entry in entries if entry["name"] != "disk"]
        said = names + [
            root + (f" {len(sizes)} times" if len(sizes) > 1 else "")
            for root, sizes in sorted(disks.items())
        ]
        words = ", ".join(said) + (f" (exit {done.returncode})" if done.returncode else "")
        return Result(done.returncode, words, dict(disks), names)

    def both(self, resources=None):
        return [self.run(who, resources).words for who in ("theirs", "ours")]


class RemoteServer:
    """A file system of another host, as the kernel sees it: FUSE, of which only the size is served."""

    INIT, STATFS, GETATTR, FORGET, BATCH_FORGET = 26, 17, 3, 2, 42

    def __init__(self, path):
        os.makedirs(path)
        self.device = os.open("/dev/fuse", os.O_RDWR)
        libc = ctypes.CDLL(None, use_errno=True)
        data = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"files:/export", path.encode(), b"fuse.sshfs", 0, data.encode()) != 0:
            sys.exit(f"no FUSE: {os.strerror(ctypes.get_errno())}")
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError:
                return
            _, operation, unique = struct.unpack_from("<IIQ", request)
            if operation in (self.FORGET, self.BATCH_FORGET):
                continue
            error, answer = 0, b""
            if operation == self.INIT:
                answer = struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 16, 0, 8, 8, 1 << 16, 1, 0, 0, 0)
            elif operation == self.STATFS:
                answer = struct.pack("<5Q4I24x", 1 << 20, 1 << 20, 1 << 20, 9, 9, 4096, 255, 4096, 0)
            elif operation == self.GETATTR:
                attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
                answer = struct.pack("<QII", 1, 0, 0) + attributes
            else:
                error = -38
            os.write(self.device, struct.pack("<IiQ", 16 + len(answer), error, unique) + answer)


PORTS = '{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1025,"end":2180}]}}'


def overmounted(host):
    host.disk("dcos/volume0", 300)
    host.disk("dcos/volume0", 300)
    return host.both()


def of_another_host(host):
    host.disk("dcos/volume0", 300)
    RemoteServer(host.volume(1))
    return host.both()


def cached(host, text):
    host.disk("dcos/volume0", 300)
    for who in ("theirs", "ours"):
        with open(host.at(who + ".cache"), "w", encoding="utf-8") as file:
            file.write(text)
    return host.both()


def cache_without_the_variable(host):
    return cached(host, "# moved here for safety\n")


def cache_with_a_path(host):
    source = '{"type":"PATH","path":{"root":"%s"}}' % host.at("data")
    entry = '{"name":"disk","type":"SCALAR","scalar":{"value":9},"disk":{"source":%s}}' % source
    return cached(host, f"MESOS_RESOURCES='[{entry}]'\n")


def disk_named_already(host):
    host.disk("dcos/volume0", 300)
    return host.both('[%s,{"name":"disk","type":"SCALAR","scalar":{"value":200}}]' % PORTS)


def apostrophe(host):
    host.disk("dcos/volume0", 300)
    return host.both('[{"name":"racks","type":"SET","set":{"item":["o\'hare"]}}]')


def filled(host):
    answers = []
    for who in ("theirs", "ours"):
        before = host.run(who)
        data = host.at("work/" + who)
        with open(data, "wb") as file:
            file.write(bytes(50 << 20))
            os.fsync(file.fileno())
        os.unlink(host.at(who))
        after = host.run(who)
        stays = before.disks == after.disks
        answers.append("the same" if stays else "another number: the agent would not start")
    return answers


def missing(host):
    host.disk("dcos/volume0", 300)
    first = {who: host.run(who) for who in ("theirs", "ours")}
    do("umount", host.volume(0))
    answers = []
    for who in ("theirs", "ours"):
        os.unlink(host.at(who))
        second = host.run(who)
        words = second.words
        if second.code == 0 and second.disks != first[who].disks:
            words += ": dropped without a word"
        elif second.disks == first[who].disks:
            words += ": kept, and said"
        elif second.code == 4:
            # No agent has registered with it here: one would start without it.
            words += ": left out, and said"
        answers.append(words)
    return answers


def small(host):
    host.disk("dcos/volume0", 300)
    host.disk("dcos/volume1", 50)
    return host.both()


INPUTS = [
    ("a disk mounted over another", overmounted),
    ("a file system of another host", of_another_host),
    (".cache without the variable", cache_without_the_variable),
    (".cache with a PATH disk", cache_with_a_path),
    ("a disk in $MESOS_RESOURCES already", disk_named_already),
    ("an apostrophe in a value", apostrophe),
    ("50 MB written to the work_dir", filled),
    ("a disk that is missing at boot", missing),
    ("a disk too small to offer", small),
]


def table(program):
    rows = [("input", "DC/OS's generator", "mesos-volumed")]
    for name, made in INPUTS:
        with Host(program) as host:
            rows.append((name, *made(host)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, theirs, ours in rows:
        print(f"{name:{widths[0]}}  {theirs:{widths[1]}}  {ours}".rstrip())


def duration(command, environment):
    start = time.perf_counter()
    done = run(*command, env=environment)
    spent = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr.decode()}")
    return spent


def measure(program, mounts):
    with Host(program) as host:
        host.disk("dcos/volume0", 300)
        for number in range(1, mounts):
            os.makedirs(host.volume(number))
            do("mount", "--no-mtab", "-t", "tmpfs", "-o", "size=300m", "bench", host.volume(number))
        spent = {"theirs": [], "ours": []}
        for _ in range(ROUNDS):
            for who, times in spent.items():
                file, command, environment = host.commands(who)
                for old in (file, file + ".cache"):
                    if os.path.exists(old):
                        os.unlink(old)
                times.append(duration(command, environment))
        theirs, ours = (statistics.median(spent[who]) * 1000 for who in ("theirs", "ours"))
        print(f"resources, {mounts} mounts at {host.volumes.replace(host.folder, '')}N, median of {ROUNDS}:")
        print(f"  mesos-volumed resources --write  {ours:.1f} ms")
        print(f"  DC/OS's generator                {theirs:.1f} ms  ratio {ours / theirs:.2f}")


def main(arguments):
    if arguments[:1] == ["inputs"] and len(arguments) == 2:
        table(os.path.abspath(arguments[1]))
    elif arguments[:1] == ["time"] and len(arguments) in (2, 3):
        for mounts in [int(arguments[2])] if len(arguments) == 3 else [10, 1000]:
            measure(os.path.abspath(arguments[1]), mounts)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
