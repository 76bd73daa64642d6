"""A persona of one's own: one TOML file with a section `[persona]`, read once, every complaint with its line.

It begins with one of the personas that come with the package, and says what is different. All that it does not say
stays as that one has it, drawn from the installation's seed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from eudaemon.options import option
from eudaemon.sensor.settings import Listener, SensorSettings, is_file, own_listeners
from eudaemon.settings import FILE_BYTES_MAX, Document, SettingsError
from eudaemon.world.personas import BY_NAME, WINDOWS, Persona

ACCOUNTS_MAX = 64
TEXT_CHARS_MAX = 64 * 1024
_MODEL = re.compile(r"[A-Za-z0-9._+-]*(?:\{[nm]\}[A-Za-z0-9._+-]*)*")


def check_name(value: str) -> None:
    """Raise `ValueError` for what is no name of a persona."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", value):
        raise ValueError(f"{value!r} must be 1 to 32 small letters, digits and dashes")


def _title(value: str) -> None:
    if value and ("{0}" not in value or value.replace("{0}", "").strip("{}") != value.replace("{0}", "")):
        raise ValueError(f"{value!r} must hold {{0}}, where the model stands, and no other brackets")


def _models(values: tuple[str, ...]) -> None:
    for value in values:
        if not value or not _MODEL.fullmatch(value):
            raise ValueError(
                f"{value!r} may hold letters, digits, `._+-`, and {{n}} or {{m}} for four or two drawn digits"
            )


def _listen(values: tuple[str, ...]) -> None:
    for value in values:
        Listener.parse(value)


def _accounts(values: tuple[str, ...]) -> None:
    if len(values) > ACCOUNTS_MAX:
        raise ValueError(f"there are {len(values)} accounts; there may be {ACCOUNTS_MAX}")
    for value in values:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,32}:[\x21-\x7e]{0,64}", value):
            raise ValueError(f"{value!r} is not of the form user:password")


def _ouis(values: tuple[str, ...]) -> None:
    for value in values:
        if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){2}", value):
            raise ValueError(f"{value!r} is not of the form 00:12:34, in small letters")


def _path(value: str) -> None:
    if not re.fullmatch(r"(/[\x21-\x2e\x30-\x7e]{1,255}){1,16}", value) or "/../" in f"{value}/":
        raise ValueError(f"{value!r} is no path from the root, such as /etc/motd")


def _text(value: str) -> None:
    if len(value) > TEXT_CHARS_MAX:
        raise ValueError(f"has over {TEXT_CHARS_MAX} characters")


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that this device has besides what all have."""

    path: str = option(..., "Where it stands.", check=_path)
    text: str = option("", "What is in it.", check=_text)


@dataclass(frozen=True, slots=True)
class PersonaSettings:
    """A persona."""

    name: str = option("mine", "What it is called in lists.", check=check_name)
    like: str = option("router", "The persona that it is like in all that is not said here.", among=tuple(BY_NAME))
    listen: tuple[str, ...] = option((), "Its own ports, as in sensor.listen; none are those of `like`.", check=_listen)
    title: str = option("", "What its pages call it; {0} is the model.", check=_title)
    models: tuple[str, ...] = option(
        (), "Models of which one is drawn; {n} and {m} are four and two drawn digits.", check=_models
    )
    banner: str = option("", "What stands before the login prompt.", check=_text)
    busybox: tuple[str, ...] = option((), "Versions of BusyBox of which one is drawn.")
    ouis: tuple[str, ...] = option((), "First three octets of its MAC address, of which one is drawn.", check=_ouis)
    services: tuple[str, ...] = option((), "Command lines that its `ps` shows besides what all have.")
    accounts: tuple[str, ...] = option(
        (), "Who gets in, as user:password, besides whom the seed lets in.", check=_accounts
    )
    uptime_days_min: int = option(20, "The shortest time that it runs before it is started again.", low=1, high=3650)
    uptime_days_max: int = option(90, "The longest.", low=2, high=3651)
    file: tuple[TextFile, ...] = option((), "Files that it has besides what all have.")

    def __post_init__(self) -> None:
        """Raise `ValueError` for what does not go together."""
        if self.uptime_days_max <= self.uptime_days_min:
            raise ValueError("has an uptime_days_max that is not above uptime_days_min")
        if self.file and self.like == WINDOWS:
            raise ValueError(f"has files, and is like {WINDOWS}, which takes none")

    def persona(self) -> Persona:
        """Return the persona that this is."""
        like = BY_NAME[self.like]
        (title, models), *_ = like.makes
        makes = ((self.title or title, self.models or models),) if self.title or self.models else like.makes
        return replace(
            like,
            name=self.name if self.like != WINDOWS else WINDOWS,  # it is known by its name
            makes=makes,
            busybox=self.busybox or like.busybox,
            ouis=self.ouis or like.ouis,
            services=self.services or like.services,
            banner=self.banner or like.banner,
            listen=self.listen or like.listen,
            accounts=self.accounts,
            uptime_days=(self.uptime_days_min, self.uptime_days_max),
            texts=tuple((file.path, file.text) for file in self.file),
        )


def read(path: Path) -> Persona:
    """Read and validate a persona's file. Raises `SettingsError` with all that is wrong, each with its line."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise SettingsError(f"{path}: over {FILE_BYTES_MAX} bytes")
    try:
        document = Document(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}:{raw[: error.start].count(10) + 1}: no UTF-8") from None
    document.only("persona")
    return document.part("persona", PersonaSettings).persona()


def named(settings: SensorSettings, config: Path | None) -> Persona | None:
    """Return the persona whose file the settings name, None where they name none. Raises `SettingsError`.

    A name without a folder is looked for beside the settings file.
    """
    if not is_file(settings.persona):
        return None
    return read((config.parent if config is not None else Path()) / settings.persona)


def listening(persona: Persona) -> tuple[str, ...]:
    """Return what a persona listens on with the rooms that are there."""
    return own_listeners(persona.listen)


def example(like: Persona, name: str) -> str:
    """Return a file for a persona of one's own, which says what `like` says."""
    title, models = like.makes[0]

    def row(key: str, says: str, value: object, *, mark: str = "#") -> str:
        import json

        shown = json.dumps(value, ensure_ascii=False)
        return f"# {says}\n{mark}{key} = {shown}\n"

    rows = (
        row("name", "What it is called.", name, mark=""),
        row("like", "All that is not said here is as this one has it, drawn from the installation's seed.", like.name,
            mark=""),
        row("listen", "Its own ports, which are opened where sensor.listen is empty.", list(listening(like))),
        row("title", "What its pages call it; {0} is the model.", title),
        row("models", "One is drawn; {n} and {m} are four and two drawn digits.", list(models)),
        row("banner", "What stands before the login prompt.", like.banner),
        row("ouis", "First three octets of its MAC address, of which one is drawn.", list(like.ouis)),
        row("services", "What `ps` shows besides what all have.", list(like.services)),
        row("accounts", "Who gets in besides whom the seed lets in.", ["admin:letmein"]),
        row("uptime_days_min", "How long it runs before it is started again, in days.", like.uptime_days[0]),
        row("uptime_days_max", "The longest.", like.uptime_days[1]),
    )  # fmt: skip
    files = ("# Files that it has besides what all have.\n"
             "#[[persona.file]]\n#path = \"/etc/motd\"\n#text = \"hello\\n\"\n")  # fmt: skip
    head = ("# A persona for Eudaemon. Remove the `#` from what is to differ, and name the file in the settings:\n"
            f"#     [sensor]\n#     persona = \"{name}.toml\"\n#     listen = []\n\n[persona]\n")  # fmt: skip
    return head + "\n".join(rows if like.name == WINDOWS else (*rows, files))  # Windows takes none
