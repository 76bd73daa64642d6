"""How a download can end other than well. All of these are the peer's doing or our policy, never our fault."""

from __future__ import annotations


class NotFetched(Exception):  # noqa: N818 (an outcome is no error of ours)
    """A download that did not end well. `outcome` is as in `Downloaded`; the message is the reason, in words."""

    outcome = "failed"


class Failed(NotFetched):
    """No answer, a reset, or nonsense."""


class Missing(NotFetched):
    """The server says that it has no such file."""

    outcome = "missing"


class Refused(NotFetched):
    """Our policy or a limit of ours forbids it."""

    outcome = "refused"
