"""Who answers: the node, and the pods that run on it. All drawn from the installation's seed."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from eudaemon.world.container import Container, container_of
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

SECRETS = "/var/run/secrets/kubernetes.io/serviceaccount"
_VERSIONS = ("v1.18.20", "v1.19.16", "v1.20.15", "v1.21.14", "v1.22.17", "v1.23.17")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of Kubernetes' own names
# Namespace, name, whether a deployment made it, container, image.
_ALWAYS = (
    ("kube-system", "kube-proxy", False, "kube-proxy", "k8s.gcr.io/kube-proxy:{version}"),
    ("kube-system", "coredns", True, "coredns", "k8s.gcr.io/coredns:1.7.0"),
)
_SOMETIMES = (
    ("kube-system", "kube-flannel-ds", False, "kube-flannel", "quay.io/coreos/flannel:v0.14.0"),
    ("kube-system", "calico-node", False, "calico-node", "calico/node:v3.20.6"),
    ("kube-system", "metrics-server", True, "metrics-server", "k8s.gcr.io/metrics-server/metrics-server:v0.5.2"),
    ("ingress-nginx", "ingress-nginx-controller", True, "controller", "k8s.gcr.io/ingress-nginx/controller:v1.1.1"),
    ("default", "nginx", True, "nginx", "nginx:1.21-alpine"),
    ("default", "redis", True, "redis", "redis:5.0.7-alpine"),
    ("production", "web", True, "web", "registry.internal/web:1.4.2"),
    ("production", "api", True, "api", "registry.internal/api:2.0.1"),
    ("monitoring", "prometheus-node-exporter", False, "node-exporter", "prom/node-exporter:v1.3.1"),
    ("staging", "worker", True, "worker", "registry.internal/worker:0.9.3"),
)


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod, with one container."""

    namespace: str
    name: str
    container: str
    image: str
    uid: str
    ip: str


@dataclass(frozen=True, slots=True)
class Node:
    """One sensor's node."""

    seed: Seed
    inside: Container  # what every container looks like from inside
    version: str
    name: str
    ip: str
    pods: tuple[Pod, ...]

    def pod(self, namespace: str, name: str, container: str) -> Pod | None:
        """Return the pod of that name, if the container is its."""
        return next((pod for pod in self.pods
                     if (pod.namespace, pod.name, pod.container) == (namespace, name, container)), None)  # fmt: skip

    def told_pods(self, at_s: float) -> dict[str, Any]:
        """GET /pods."""
        started = f"{datetime.fromtimestamp(at_s - self.inside.uptime_s(at_s), UTC):%Y-%m-%dT%H:%M:%SZ}"
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {},
                "items": [self._told(pod, started) for pod in self.pods]}  # fmt: skip

    def _told(self, pod: Pod, started: str) -> dict[str, Any]:
        token = {"name": "default-token", "readOnly": True, "mountPath": SECRETS}
        container = {"name": pod.container, "image": pod.image, "resources": {}, "volumeMounts": [token],
                     "imagePullPolicy": "IfNotPresent"}  # fmt: skip
        running = {"name": pod.container, "state": {"running": {"startedAt": started}}, "ready": True,
                   "restartCount": 0, "image": pod.image, "imageID": f"docker-pullable://{pod.image}",
                   "containerID": f"docker://{self.id_of(pod.uid)}"}  # fmt: skip
        return {
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "creationTimestamp": started,
                         "labels": {"app": pod.container}},
            "spec": {"containers": [container], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
                     "serviceAccountName": "default", "nodeName": self.name, "securityContext": {}},
            "status": {"phase": "Running", "hostIP": self.ip, "podIP": pod.ip, "startTime": started,
                       "containerStatuses": [running], "qosClass": "BestEffort"},
        }  # fmt: skip

    def token(self) -> bytes:
        """The service account's token that lies in every container: signed by nobody."""
        claims = {"iss": "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": "default",
                  "kubernetes.io/serviceaccount/service-account.name": "default",
                  "kubernetes.io/serviceaccount/service-account.uid": _uid(self.seed, "account"),
                  "sub": "system:serviceaccount:default:default"}  # fmt: skip
        parts = (b'{"alg":"RS256","kid":"%s"}' % _base64(self.seed.bytes("key id", 32)),
                 json.dumps(claims, separators=(",", ":")).encode(), self.seed.bytes("signature", 256))  # fmt: skip
        return b".".join(map(_base64, parts))

    def id_of(self, what: str) -> str:
        """Return 64 hexadecimal digits that are always the same for this."""
        return self.seed.bytes(f"id {what}", 32).hex()


@lru_cache(maxsize=8)
def node_of(host: Host) -> Node:
    """Return the node of this host."""
    seed = host.seed.child("kubelet")
    version = seed.choice("version", _VERSIONS)
    rows = [*_ALWAYS, *(row for row in _SOMETIMES if seed.number(f"runs {row[1]}", 2))]
    ip = f"10.{seed.number('network', 200)}.{seed.number('subnet', 200)}.{4 + seed.number('address', 240)}"
    name = seed.choice("name", ("ip-{}.ec2.internal", "node-{}", "worker-{}", "k8s-node-{}"))
    pods = tuple(
        Pod(namespace, f"{prefix}-{_name(seed, prefix, 10)}-{_name(seed, prefix + 'p', 5)}" if deployed
            else f"{prefix}-{_name(seed, prefix, 5)}", container, image.format(version=version), _uid(seed, prefix),
            f"10.244.{seed.number('pods', 200)}.{2 + number}")
        for number, (namespace, prefix, deployed, container, image) in enumerate(rows)
    )  # fmt: skip
    name = name.format(ip.replace(".", "-") if "ec2" in name else 1 + seed.number("number", 9))
    return Node(seed, container_of(host, "kubelet", "sh"), version, name, ip, pods)


def _name(seed: Seed, purpose: str, count: int) -> str:
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in seed.bytes(f"name {purpose}", count))


def _uid(seed: Seed, purpose: str) -> str:
    digits = seed.bytes(f"uid {purpose}", 16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
