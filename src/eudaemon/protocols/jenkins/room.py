"""The connection, and what can be asked. What Groovy and jobs execute goes to the shell, whose output comes back."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeAlias

from eudaemon.events.catalogue import CommandEntered, LoginTried
from eudaemon.protocols import _loot as loot
from eudaemon.protocols._accounts import admits
from eudaemon.protocols._api import compact
from eudaemon.protocols._base import Keep, Order, Saw
from eudaemon.protocols._http import Request
from eudaemon.protocols._pages import PageRoom
from eudaemon.protocols._shell import Captured
from eudaemon.protocols.jenkins import cli
from eudaemon.protocols.jenkins.server import Server, server_of, uncached
from eudaemon.wire import decode, printable
from eudaemon.world.files import FileError, Files, Fixed
from eudaemon.world.host import Host

SCRIPT_BYTES_MAX = 256 * 1024
_FORM_PAIRS_MAX = 64
_MEMORY = "jenkins cli"
ANSWER_BYTES_MAX = 32 * 1024  # of a command line's, that waits for the side that listens
_SESSION = re.compile(rb"[0-9A-Za-z-]{1,64}")
_SHELL_STEP = re.compile(rb"<command>([^<]{1,8192})</command>")
_PRINTS = re.compile(rb"\bprint(?:ln)?\b|\.text\b|getText|waitForProcessOutput|consumeProcessOutput")
Shown: TypeAlias = Callable[[Captured | None, float], Iterator[Order]]
_PLAIN, _HTML, _JSON = "text/plain;charset=utf-8", "text/html;charset=utf-8", "application/json;charset=utf-8"


class Jenkins(PageRoom):
    """One connection to Jenkins."""

    name: ClassVar[str] = "jenkins"
    paths: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"[A-Z]+ /(?:jenkins/)?(?:script(?:Text)?[? ]|cli[? ]|crumbIssuer/|j_(?:spring|acegi)_security_check|"
        rb"createItem|securityRealm/|descriptorByName/|asynchPeople|whoAmI)"
    )
    order: ClassVar[tuple[str, ...]] = ("*", "Content-Type", "Content-Length", "Server", "Connection")
    error: ClassVar[str] = (
        '<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html;charset=ISO-8859-1"/>\n<title>'
        "Error {status} {reason}</title>\n</head>\n<body><h2>HTTP ERROR {status} {reason}</h2>\n<table>\n<tr>"
        "<th>URI:</th><td>{path}</td></tr>\n<tr><th>STATUS:</th><td>{status}</td></tr>\n<tr><th>MESSAGE:</th><td>{reason}</td></tr>\n"
        "<tr><th>SERVLET:</th><td>Stapler</td></tr>\n</table>\n<hr/><i><small>Powered by Jetty:// </small></i><hr/>\n\n"
        "</body>\n</html>\n"
    )
    error_type: ClassVar[str] = "text/html;charset=iso-8859-1"

    __slots__ = ()

    @property
    def jenkins(self) -> Server:
        """Who answers."""
        return server_of(self.visit.host)

    @property
    def server(self) -> str:
        """See `PageRoom`."""
        return f"Jetty({self.jenkins.jetty})"

    @property
    def inside(self) -> Host:
        """See `PageRoom`."""
        return self.jenkins.inside

    def handle(self, request: Request, at_s: float) -> Iterator[Order]:
        """See `ApiRoom`."""
        path = decode.percent(request.path)
        path = path.removeprefix(b"/jenkins").rstrip(b"/") or b"/"
        form = _form(request)
        if path == b"/cli" and request.method == "POST":
            yield from self._command_line(request, at_s)
        elif path in (b"/script", b"/scriptText", b"/computer/(master)/script", b"/computer/(built-in)/scriptText"):
            yield from self._script(request, path, form.get(b"script", b""), at_s)
        elif path.endswith((b"/checkScript", b"/checkScriptCompile")):
            yield from self._checked(request, form.get(b"value", b""), at_s)
        elif path in (b"/j_spring_security_check", b"/j_acegi_security_check"):
            yield from self._login(request, form, at_s)
        elif path.endswith((b"/createItem", b"/config.xml")) and request.method == "POST":
            yield from self._made(request, at_s)
        elif request.method not in ("GET", "HEAD", "POST"):
            yield from self.refused(request, at_s, 405)
        else:
            yield from self._visited(request, path, at_s)

    def told_page(
        self, request: Request, at_s: float, body: bytes, kind: str = _HTML, status: int = 200
    ) -> Iterator[Order]:
        """Answer with one of Jenkins' own pages."""
        yield from self.answer(request, at_s, status, body, kind, (*uncached(at_s), *self.jenkins.headers))

    def _visited(self, request: Request, path: bytes, at_s: float) -> Iterator[Order]:
        jenkins = self.jenkins
        if path in (b"/login", b"/loginError"):
            yield from self.told_page(request, at_s, jenkins.login(failed=path == b"/loginError"))
        elif path in (b"/", b"/view/all", b"/manage", b"/asynchPeople", b"/computer", b"/systemInfo"):
            yield from self.told_page(request, at_s, jenkins.dashboard())
        elif path in (b"/api/json", b"/crumbIssuer/api/json", b"/whoAmI/api/json"):
            yield from self.told_page(request, at_s, compact(_API[path](jenkins)), _JSON)
        else:
            yield from self.refused(request, at_s, 404)

    def _login(self, request: Request, form: dict[bytes, bytes], at_s: float) -> Iterator[Order]:
        user, password = form.get(b"j_username", b""), form.get(b"j_password", b"")
        accepted = admits(self.visit, user, password, right=self.visit.host.accepts(user, password))
        yield Saw(LoginTried(printable(user, 256), printable(password, 256), accepted))
        location = ("Location", "/" if accepted else "/loginError")
        yield from self.answer(request, at_s, 302, b"", "", (*uncached(at_s), *self.jenkins.headers, location))

    # --- what is executed ----------------------------------------------------------------------------

    def _script(self, request: Request, path: bytes, script: bytes, at_s: float) -> Iterator[Order]:
        if request.method != "POST" or not script:
            page = self.jenkins.console() if not path.endswith(b"Text") else b""
            yield from self.told_page(request, at_s, page or self.error_page(405, request), status=200 if page else 405)
            return

        def then(shell: Captured | None, at_s: float) -> Iterator[Order]:
            printed = self._shown(script, shell)
            if path.endswith(b"Text"):
                yield from self.told_page(request, at_s, printed, _PLAIN)
            else:
                yield from self.told_page(request, at_s, self.jenkins.console(printed.decode("utf-8", "replace")))

        partial = request.cut or len(request.body) > SCRIPT_BYTES_MAX
        yield from self._groovy(script, "jenkins-script", "T1059.007", then, at_s, partial=partial)

    def _groovy(
        self, script: bytes, name: str, reference: str, then: Shown, at_s: float, *, partial: bool = False
    ) -> Iterator[Order]:  # fmt: skip
        """Keep a script, and have its command run, if it has one; then answer."""
        script = script[:SCRIPT_BYTES_MAX]
        found = loot.groovy(script)
        command = found.command if found else b""
        yield from self.attacked(name, reference, command or script)
        yield Keep(script, "script", name, partial)
        if command:
            yield from self.obey(command, then, at_s, holds=True)
        else:
            yield from then(None, at_s)

    def _shown(self, script: bytes, shell: Captured | None) -> bytes:
        """Return what a script shows: what its command printed, if it asks for that, or what `execute` returns."""
        if shell is None:
            return b""
        if _PRINTS.search(script):
            return shell.printed
        return b"Result: java.lang.UNIXProcess@%x\n" % self.visit.seed.number("process", 1 << 31)

    def _checked(self, request: Request, script: bytes, at_s: float) -> Iterator[Order]:
        """A script's syntax is looked at, which runs what its annotations and constructors have in them."""

        def then(_shell: Captured | None, at_s: float) -> Iterator[Order]:
            yield from self.told_page(request, at_s, b"<div/>")

        yield from self._groovy(script, "jenkins-check-script", "CVE-2018-1000861", then, at_s)

    def _made(self, request: Request, at_s: float) -> Iterator[Order]:
        """A job, as XML: its shell steps run when it is made, for few come back to build it."""
        yield Keep(request.body, "script", "config.xml", request.cut)

        def then(_shell: Captured, at_s: float) -> Iterator[Order]:
            yield from self.told_page(request, at_s, b"")

        steps = [decode.html_entities(step) for step in _SHELL_STEP.findall(request.body[:SCRIPT_BYTES_MAX])[:8]]
        if steps:
            lines = b"\n".join(steps)
            yield from self.attacked("jenkins-job", "T1072", lines)
            yield from self.obey(lines, then, at_s, holds=True)
        else:
            yield from self.told_page(request, at_s, b"")

    # --- the command line ----------------------------------------------------------------------------

    def _command_line(self, request: Request, at_s: float) -> Iterator[Order]:
        """One of its two requests: the side that listens is answered when the other has said what is to be run."""
        session = request.header(b"session")
        if not _SESSION.fullmatch(session):
            yield from self.refused(request, at_s, 400)
            return
        service = f"{_MEMORY} {session.decode()}"
        memory, ip = self.visit.memory, self.visit.attacker.ip
        if request.header(b"side") == b"download":

            def heard(at_s: float) -> Iterator[Order] | None:
                answer = memory.recall(service, ip)
                if not answer:
                    return None
                memory.remember(service, ip, b"")
                return self.told_page(request, at_s, base64.b64decode(answer), "application/octet-stream")

            yield from self.later(heard, at_s)
            return
        asked = cli.asked_by(request.body)
        yield Saw(CommandEntered(printable(asked.line(), 4096)))

        def say(output: bytes, error: bytes, status: int) -> Iterator[Order]:
            memory.remember(service, ip, base64.b64encode(cli.told(output[:ANSWER_BYTES_MAX], error, status)))
            yield from self.told_page(request, at_s, b"", "")

        if asked.file:
            yield from self.attacked("jenkins-cli-file", "CVE-2024-23897", asked.line())
            yield from say(b"", cli.complained(asked, self._content(asked.file, at_s)), 2)
        elif asked.name in (b"groovy", b"groovysh") and asked.given:

            def then(shell: Captured | None, _at_s: float) -> Iterator[Order]:
                yield from say(self._shown(asked.given, shell), b"", 0)

            yield from self._groovy(asked.given, "jenkins-cli-groovy", "T1059.007", then, at_s)
        elif asked.name in _SAYS:
            yield from say(_SAYS[asked.name](self.jenkins), b"", 0)
        else:
            yield from say(b"", b"\nERROR: No such command %s. Available commands are above. \n" % asked.name[:256], 5)

    def _content(self, path: bytes, at_s: float) -> bytes | None:
        """Return what is in a file of the pretended host, None if there is none."""
        try:
            node = Files(self.inside.tree, self.inside.writable, self.visit.purse).find(path)
        except FileError:
            return None
        if not isinstance(node, Fixed):
            return None
        content = node.content(at_s) if callable(node.content) else node.content
        return content[:ANSWER_BYTES_MAX]


def _form(request: Request) -> dict[bytes, bytes]:
    """Return the first value of each field of query and form; a multipart body's too."""
    found: dict[bytes, bytes] = {}
    body = request.body[:SCRIPT_BYTES_MAX]
    for text in (request.query, body if b"=" in body else b""):
        for pair in text.split(b"&", _FORM_PAIRS_MAX):
            name, equals, value = pair.partition(b"=")
            if equals:
                found.setdefault(decode.percent(name, plus=True), decode.percent(value, plus=True))
    return found


_API: dict[bytes, Callable[[Server], Any]] = {
    b"/api/json": lambda jenkins: {
        "_class": "hudson.model.Hudson", "mode": "NORMAL", "nodeDescription": "the Jenkins controller's built-in node",
        "numExecutors": 2, "useCrumbs": True, "useSecurity": False,
        "jobs": [{"_class": "hudson.model.FreeStyleProject", "name": job, "color": "blue"} for job in jenkins.jobs]},
    b"/crumbIssuer/api/json": lambda jenkins: {
        "_class": "hudson.security.csrf.DefaultCrumbIssuer", "crumb": jenkins.crumb,
        "crumbRequestField": "Jenkins-Crumb"},
    b"/whoAmI/api/json": lambda _: {
        "_class": "hudson.security.WhoAmI", "anonymous": True, "authenticated": True, "name": "anonymous",
        "authorities": ["anonymous"]},
}  # fmt: skip
_SAYS: dict[bytes, Callable[[Server], bytes]] = {
    b"who-am-i": lambda _: b"Authenticated as: anonymous\nAuthorities:\n  anonymous\n",
    b"version": lambda jenkins: f"{jenkins.version}\n".encode(),
    b"list-jobs": lambda jenkins: "".join(f"{job}\n" for job in jenkins.jobs).encode(),
    b"help": lambda _: b"  groovy\n    Executes the specified Groovy script. \n  who-am-i\n    Reports your login.\n",
}  # fmt: skip
