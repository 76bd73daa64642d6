"""Two kinds of wrong. Theirs is `PeerError`: evidence, an event, a clean hang-up. Ours is any other exception."""


class PeerError(Exception):
    """The peer broke its protocol or went past a limit. The message says how, in plain words, without its bytes."""
