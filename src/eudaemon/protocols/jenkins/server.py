"""Who answers: a version, its headers and its pages, drawn from the seed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache

from eudaemon.protocols._http import http_date
from eudaemon.world.container import container_of
from eudaemon.world.host import Host

# Versions of Jenkins, all before 2.441 and 2.426.3 (CVE-2024-23897), and the Jetty that each bundles.
_VERSIONS = (
    ("2.121.3", "9.4.z-SNAPSHOT"), ("2.150.3", "9.4.z-SNAPSHOT"), ("2.190.3", "9.4.z-SNAPSHOT"),
    ("2.222.4", "9.4.27.v20200227"), ("2.249.3", "9.4.30.v20200611"), ("2.263.4", "9.4.33.v20201020"),
    ("2.289.3", "9.4.39.v20210325"), ("2.303.3", "9.4.43.v20210629"), ("2.319.3", "9.4.43.v20210629"),
    ("2.346.3", "9.4.45.v20220203"), ("2.361.4", "10.0.12"), ("2.387.3", "10.0.13"), ("2.401.3", "10.0.15"),
)  # fmt: skip
_JOBS = ("build", "deploy", "nightly", "backend", "frontend", "release", "smoke-tests", "docker-images", "api")
# RFC 5280: the head of an RSA key of 2048 bits, up to its modulus.
_KEY_HEAD = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100")


@dataclass(frozen=True, slots=True)
class Server:
    """One sensor's Jenkins."""

    version: str
    jetty: str
    session: str
    identity: str
    crumb: str
    jobs: tuple[str, ...]
    inside: Host

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What all answers of its own bear."""
        return (
            ("X-Content-Type-Options", "nosniff"), ("X-Hudson", "1.395"), ("X-Jenkins", self.version),
            ("X-Jenkins-Session", self.session), ("X-Frame-Options", "sameorigin"),
            ("X-Instance-Identity", self.identity),
        )  # fmt: skip

    def page(self, title: str, body: str) -> bytes:
        """Return a page with Jenkins' frame around it."""
        return (
            f'<!DOCTYPE html><html><head data-rooturl="" data-resurl="/static/{self.session}" '
            f'data-crumb-header="Jenkins-Crumb" data-crumb-value="{self.crumb}"><title>{title} [Jenkins]</title>'
            f'<meta name="ROBOTS" content="INDEX,NOFOLLOW"></head><body id="jenkins" '
            f'class="yui-skin-sam jenkins-{self.version}" data-version="jenkins-{self.version}">'
            f'<div id="main-panel">{body}</div><footer><a href="https://www.jenkins.io/">Jenkins {self.version}</a>'
            "</footer></body></html>"
        ).encode("utf-8", "replace")

    def dashboard(self) -> bytes:
        """GET /."""
        rows = "".join(f'<tr id="job_{job}"><td><a href="job/{job}/">{job}</a></td></tr>' for job in self.jobs)
        tasks = '<a href="/view/all/newJob">New Item</a> <a href="/manage">Manage Jenkins</a>'
        return self.page("Dashboard", f'{tasks}<table id="projectstatus">{rows}</table>')

    def console(self, output: str | None = None) -> bytes:
        """GET and POST /script."""
        shown = "" if output is None else f"<h2>Result</h2><pre>{_escaped(output)}</pre>"
        return self.page(
            "Jenkins", "<h1>Script Console</h1><p>Type in an arbitrary Groovy script and execute it on the server.</p>"
            '<form action="script" method="post"><textarea id="script" name="script"></textarea>'
            f'<input type="submit" value="Run"></form>{shown}',
        )  # fmt: skip

    def login(self, *, failed: bool = False) -> bytes:
        """GET /login."""
        wrong = '<div class="alert alert-danger">Invalid username or password</div>' if failed else ""
        return self.page(
            "Sign in", f'{wrong}<form method="post" name="login" action="j_spring_security_check">'
            '<input type="text" name="j_username"><input type="password" name="j_password">'
            '<input type="submit" name="Submit" value="Sign in"></form>',
        )  # fmt: skip


@lru_cache(maxsize=8)
def server_of(host: Host) -> Server:
    """Return the Jenkins of this host."""
    seed = host.seed.child("jenkins")
    version, jetty = seed.choice("version", _VERSIONS)
    modulus = seed.bytes("modulus", 256)
    key = _KEY_HEAD + bytes((modulus[0] | 0x80,)) + modulus[1:] + b"\x02\x03\x01\x00\x01"
    names = sorted(_JOBS, key=lambda job: seed.number(job, 1 << 30))
    return Server(
        version, jetty, seed.bytes("session", 4).hex(), base64.b64encode(key).decode(),
        seed.bytes("crumb", 32).hex(), tuple(sorted(names[: 2 + seed.number("jobs", 4)])),
        container_of(host, "jenkins", "java"),
    )  # fmt: skip


def uncached(at_s: float) -> tuple[tuple[str, str], ...]:
    """Return the headers of what must not be kept."""
    return (
        ("Date", http_date(at_s)),
        ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Cache-Control", "no-cache,no-store,must-revalidate"),
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
