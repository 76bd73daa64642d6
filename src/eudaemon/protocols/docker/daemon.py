"""Who answers: the daemon's version, its host, and the containers that its owner runs. All drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from eudaemon.world.container import Container, container_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

# Version, API version, Go, commit, and to the minute when it was built: as `docker version` of that release says. The
# seconds are those of one distribution's package.
_RELEASES = (
    ("18.09.7", "1.39", "go1.10.4", "2d0083d", "2019-06-27T17:23"),
    ("19.03.15", "1.40", "go1.13.15", "99e3ed8", "2021-01-30T03:15"),
    ("20.10.7", "1.41", "go1.13.15", "b0f5bc3", "2021-06-02T11:54"),
    ("20.10.12", "1.41", "go1.16.12", "459d0df", "2021-12-13T11:43"),
    ("20.10.17", "1.41", "go1.17.11", "a89b842", "2022-06-06T23:01"),
    ("20.10.21", "1.41", "go1.18.7", "3056208", "2022-10-25T18:00"),
)
_SYSTEMS = {"4.15": "Ubuntu 18.04.6 LTS", "5.4": "Ubuntu 20.04.6 LTS", "5.15": "Ubuntu 22.04.4 LTS"}
_OWNERS = (("nginx", "1.21", 80, "nginx -g 'daemon off;'"), ("postgres", "13", 5432, "postgres"),
           ("mysql", "8.0", 3306, "mysqld"), ("rabbitmq", "3.8", 5672, "rabbitmq-server"),
           ("grafana/grafana", "8.5.0", 3000, "/run.sh"), ("jenkins/jenkins", "lts", 8080, "/usr/local/bin/jenkins.sh"),
           ("registry", "2", 5000, "/etc/docker/registry/config.yml"))  # fmt: skip
_ADJECTIVES = ("admiring", "brave", "clever", "dreamy", "eager", "focused", "gallant", "hopeful", "jolly", "keen")
_NAMES = ("bell", "curie", "darwin", "euler", "fermi", "galileo", "hopper", "kepler", "lamarr", "mendel", "noether")


@dataclass(frozen=True, slots=True)
class Daemon:
    """One sensor's Docker."""

    seed: Seed
    inside: Container  # what every container looks like from inside
    version: str
    api: str
    go: str
    commit: str
    built: str  # to the minute
    started_s: int
    images: tuple[str, ...]  # that its owner has pulled

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What all its answers bear."""
        return (("Api-Version", self.api), ("Docker-Experimental", "false"), ("Ostype", "linux"),
                ("Server", f"Docker/{self.version} (linux)"))  # fmt: skip

    @property
    def system(self) -> str:
        """The host's operating system."""
        return next(name for kernel, name in _SYSTEMS.items() if self.inside.kernel.startswith(kernel + "."))

    def told_version(self) -> dict[str, Any]:
        """GET /version."""
        built = f"{self.built}:{self.seed.number('package', 60):02d}.000000000+00:00"
        engine = {"ApiVersion": self.api, "Arch": "amd64", "BuildTime": built, "Experimental": "false",
                  "GitCommit": self.commit, "GoVersion": self.go, "KernelVersion": self.inside.kernel,
                  "MinAPIVersion": "1.12", "Os": "linux"}  # fmt: skip
        return {
            "Platform": {"Name": "Docker Engine - Community"},
            "Components": [{"Name": "Engine", "Version": self.version, "Details": engine}],
            "Version": self.version, "ApiVersion": self.api, "MinAPIVersion": "1.12", "GitCommit": self.commit,
            "GoVersion": self.go, "Os": "linux", "Arch": "amd64", "KernelVersion": self.inside.kernel,
            "BuildTime": built,
        }  # fmt: skip

    def told_info(self, at_s: float, *, containers: int, images: int) -> dict[str, Any]:
        """GET /info."""
        digits = self.seed.bytes("daemon id", 30).hex().upper()
        return {
            "ID": ":".join(digits[at : at + 4] for at in range(0, 48, 4)), "Containers": containers,
            "ContainersRunning": containers, "ContainersPaused": 0, "ContainersStopped": 0, "Images": images,
            "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]],
            "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"],
                        "Authorization": None, "Log": ["json-file", "journald", "local", "syslog"]},
            "MemoryLimit": True, "SwapLimit": False, "KernelMemory": True, "CpuCfsPeriod": True, "CpuCfsQuota": True,
            "CPUShares": True, "CPUSet": True, "PidsLimit": True, "IPv4Forwarding": True, "Debug": False,
            "BridgeNfIptables": True, "BridgeNfIp6tables": True, "NFd": 20 + 3 * containers, "OomKillDisable": True,
            "NGoroutines": 40 + 7 * containers,
            "SystemTime": f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%S.%f}000Z", "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs", "CgroupVersion": "1", "NEventsListener": 0, "KernelVersion": self.inside.kernel,
            "OperatingSystem": self.system, "OSType": "linux", "Architecture": "x86_64",
            "IndexServerAddress": "https://index.docker.io/v1/", "RegistryConfig": {"InsecureRegistryCIDRs":
            ["127.0.0.0/8"], "IndexConfigs": {}, "Mirrors": []}, "NCPU": 1 + self.seed.number("cpus", 4),
            "MemTotal": self.inside.memory_kb * 1024, "DockerRootDir": "/var/lib/docker", "HttpProxy": "",
            "HttpsProxy": "", "NoProxy": "", "Name": f"{self.seed.choice('host', ('ip-172-31', 'srv', 'node', 'vps'))}-"
            f"{self.seed.number('host number', 900) + 10}", "Labels": [], "ExperimentalBuild": False,
            "ServerVersion": self.version, "Runtimes": {"runc": {"path": "runc"}}, "DefaultRuntime": "runc",
            "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False,
                      "Error": "", "RemoteManagers": None}, "LiveRestoreEnabled": False, "Isolation": "",
            "InitBinary": "docker-init",
            "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"], "Warnings": None,
        }  # fmt: skip

    def owners(self, at_s: float) -> list[dict[str, Any]]:
        """The containers that its owner runs, as GET /containers/json lists them."""
        uptime_s = int(self.inside.uptime_s(at_s))
        rows = [row for row in _OWNERS if f"{row[0]}:{row[1]}" in self.images]
        return [
            {"Id": self.id_of(image), "Names": [f"/{image.rpartition('/')[2]}"], "Image": f"{image}:{tag}",
             "ImageID": f"sha256:{self.id_of(f'{image}:{tag}')}", "Command": command,
             "Created": int(at_s - uptime_s) + number,
             "Ports": [{"IP": "0.0.0.0", "PrivatePort": port, "PublicPort": port, "Type": "tcp"}], "Labels": {},
             "State": "running", "Status": f"Up {1 + uptime_s // 86_400} days",
             "HostConfig": {"NetworkMode": "default"},
             "NetworkSettings": {"Networks": {"bridge": {"NetworkID": self.id_of("bridge"), "Gateway": "172.17.0.1",
                                                         "IPAddress": f"172.17.0.{number}", "IPPrefixLen": 16}}},
             "Mounts": []}
            for number, (image, tag, port, command) in enumerate(rows, 2)
        ]  # fmt: skip

    def image(self, reference: str) -> dict[str, Any]:
        """One image, as GET /images/json lists it."""
        size = 5_000_000 + self.seed.number(f"size {reference}", 400_000_000)
        return {
            "Containers": -1, "Created": self.started_s - self.seed.number(f"made {reference}", 30_000_000),
            "Id": f"sha256:{self.id_of(reference)}", "Labels": None, "ParentId": "",
            "RepoDigests": [f"{reference.rpartition(':')[0]}@sha256:{self.id_of(f'digest {reference}')}"],
            "RepoTags": [reference], "SharedSize": -1, "Size": size, "VirtualSize": size,
        }  # fmt: skip

    def id_of(self, what: str) -> str:
        """Return 64 hexadecimal digits that are always the same for this."""
        return self.seed.bytes(f"id {what}", 32).hex()

    def name_of(self, number: str) -> str:
        """Return the name of a container that was given none."""
        return f"{self.seed.choice(f'a {number}', _ADJECTIVES)}_{self.seed.choice(f'n {number}', _NAMES)}"

    def pulled(self, reference: str) -> list[dict[str, Any]]:
        """What POST /images/create says, line by line."""
        name, _, tag = reference.rpartition(":")
        layer = self.id_of(f"layer {reference}")[:12]
        return [
            {"status": f"Pulling from {name if '/' in name else f'library/{name}'}", "id": tag},
            {"status": "Pulling fs layer", "progressDetail": {}, "id": layer},
            {"status": "Verifying Checksum", "progressDetail": {}, "id": layer},
            {"status": "Download complete", "progressDetail": {}, "id": layer},
            {"status": "Pull complete", "progressDetail": {}, "id": layer},
            {"status": f"Digest: sha256:{self.id_of(f'digest {reference}')}"},
            {"status": f"Status: Downloaded newer image for {reference}"},
        ]


@lru_cache(maxsize=8)
def daemon_of(host: Host) -> Daemon:
    """Return the Docker of this host."""
    seed = host.seed.child("docker")
    version, api, go, commit, built = seed.choice("release", _RELEASES)
    first = seed.number("owner's", len(_OWNERS))
    rows = [_OWNERS[(first + step) % len(_OWNERS)] for step in range(1 + seed.number("owner's count", 3))]
    return Daemon(seed, container_of(host, "docker", "sh"), version, api, go, commit, built,
                  1_640_000_000 + seed.number("started", 40_000_000),
                  tuple(f"{row[0]}:{row[1]}" for row in rows))  # fmt: skip


def normalised(reference: str) -> str:
    """Return an image's name with its tag, and without the registry that is meant by default."""
    reference = reference.removeprefix("docker.io/").removeprefix("library/")
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
