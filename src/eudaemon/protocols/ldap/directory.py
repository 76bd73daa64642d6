"""What the directory holds: an organisation, its people and groups, drawn from the seed."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

Attributes = dict[str, tuple[bytes, ...]]  # by name as it is written
HIDDEN = frozenset(("userpassword",))  # but from the administrator
_NAMES = ("corp", "office", "intra", "company", "hq", "internal", "lab", "factory", "school", "clinic")
_ENDS = ("local", "lan", "internal", "net", "com")
_GIVEN = ("Anna", "Ben", "Carla", "David", "Elena", "Felix", "Grace", "Hugo", "Ines", "Karin", "Lukas", "Maria",
          "Nils", "Olga", "Paul", "Rosa", "Simon", "Tina", "Viktor")  # fmt: skip
_FAMILY = ("Almeida", "Berger", "Costa", "Dubois", "Fischer", "Garcia", "Hansen", "Ivanov", "Jansen", "Keller", "Lopez",
           "Meyer", "Novak", "Olsen", "Petrov", "Rossi", "Schmidt", "Tanaka", "Varga", "Weber")  # fmt: skip
_GROUPS = ("staff", "admins", "developers", "sales", "support", "finance", "vpn", "printers")
_SHELLS = ("/bin/bash", "/bin/bash", "/bin/sh", "/sbin/nologin")
_ROOT_OPERATIONAL: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("supportedControl", (
        b"2.16.840.1.113730.3.4.18", b"2.16.840.1.113730.3.4.2", b"1.3.6.1.4.1.4203.1.10.1", b"1.3.6.1.1.22",
        b"1.2.840.113556.1.4.319", b"1.2.826.0.1.3344810.2.3", b"1.3.6.1.1.13.2", b"1.3.6.1.1.13.1", b"1.3.6.1.1.12")),
    ("supportedExtension", (b"1.3.6.1.4.1.4203.1.11.1", b"1.3.6.1.4.1.4203.1.11.3", b"1.3.6.1.1.8")),
    ("supportedFeatures", (
        b"1.3.6.1.1.14", b"1.3.6.1.4.1.4203.1.5.1", b"1.3.6.1.4.1.4203.1.5.2", b"1.3.6.1.4.1.4203.1.5.3",
        b"1.3.6.1.4.1.4203.1.5.4", b"1.3.6.1.4.1.4203.1.5.5")),
    ("supportedLDAPVersion", (b"3",)),
    ("supportedSASLMechanisms", (b"DIGEST-MD5", b"CRAM-MD5", b"NTLM")),
    ("entryDN", (b"",)),
    ("subschemaSubentry", (b"cn=Subschema",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `operational` is given only to who asks for it."""

    dn: str
    attributes: Attributes
    operational: Attributes


@dataclass(frozen=True, slots=True)
class Directory:
    """One sensor's directory, by the normal form of each entry's name."""

    suffix: str
    admin: str  # the administrator's name
    entries: dict[str, Entry]
    root: Entry  # what the server says of itself
    schema: Entry

    @property
    def root_with_tls(self) -> Entry:
        """What it says of itself where TLS can be asked for."""
        extensions = (*self.root.operational["supportedExtension"], b"1.3.6.1.4.1.1466.20037")
        return replace(self.root, operational={**self.root.operational, "supportedExtension": extensions})

    def parent_of(self, dn: str) -> str:
        """Return the name of the nearest entry above that is there, empty if none is."""
        while dn:
            dn = dn.partition(",")[2]
            if dn in self.entries:
                return self.entries[dn].dn
        return ""

    def ldif(self) -> str:
        """Return all of it as text (RFC 2849)."""
        return "\n".join(
            f"dn: {entry.dn}\n" + "".join(f"{name}: {value.decode()}\n" for name, values in entry.attributes.items()
                                          for value in values)
            for entry in self.entries.values()
        )  # fmt: skip


def normal(dn: bytes) -> str:
    """Return a name as all names for the same entry are written here: small letters, no blanks around `,` and `=`."""
    text = dn.decode("utf-8", "replace").lower()
    return (
        ",".join("=".join(part.strip() for part in rdn.split("=", 1)) for rdn in text.split(","))
        if text.strip()
        else ""
    )


@lru_cache(maxsize=8)
def directory_of(host: Host) -> Directory:
    """Return the directory of this host."""
    seed = host.seed.child("ldap")
    name = seed.choice("name", _NAMES)
    suffix = f"dc={name},dc={seed.choice('end', _ENDS)}"
    people, groups = seed.choice("people", (("people", "groups"), ("users", "groups"), ("People", "Group")))
    made_s = host.built_s + seed.number("made", 200_000_000)
    admin = _values(objectClass="simpleSecurityObject organizationalRole", cn="admin", userPassword=_password(seed, ""))
    who = dict(_person(seed, number) for number in range(6 + seed.number("how many", 12)))
    rows: list[tuple[str, Attributes]] = [
        (suffix, _values(objectClass="top dcObject organization", o=name.capitalize(), dc=name)),
        (f"cn=admin,{suffix}", admin | {"description": (b"LDAP administrator",)}),
        (f"ou={people},{suffix}", _values(objectClass="top organizationalUnit", ou=people)),
        (f"ou={groups},{suffix}", _values(objectClass="top organizationalUnit", ou=groups)),
        *((f"uid={uid},ou={people},{suffix}", _account(seed, number, uid, names, suffix))
          for number, (uid, names) in enumerate(who.items())),
        *((f"cn={group},ou={groups},{suffix}", _members(seed, number, group, tuple(who)))
          for number, group in enumerate(_GROUPS[: 3 + seed.number("groups", 4)])),
    ]  # fmt: skip
    entries = {normal(dn.encode()): _entry(seed, dn, attributes, made_s) for dn, attributes in rows}
    operational = {"structuralObjectClass": (b"OpenLDAProotDSE",), "configContext": (b"cn=config",),
                   "namingContexts": (suffix.encode(),), **dict(_ROOT_OPERATIONAL)}  # fmt: skip
    root = Entry("", _values(objectClass="top OpenLDAProotDSE"), operational)
    schema = Entry("cn=Subschema", _values(objectClass="top subentry subschema extensibleObject", cn="Subschema"), {})
    return Directory(suffix, f"cn=admin,{suffix}", entries, root, schema)


def _account(seed: Seed, number: int, uid: str, names: tuple[str, str], suffix: str) -> Attributes:
    given, family = names
    return _values(
        objectClass="top inetOrgPerson posixAccount shadowAccount", uid=uid, sn=family, givenName=given,
        mail=f"{uid}@{suffix.replace('dc=', '').replace(',', '.')}", uidNumber=str(1000 + number),
        gidNumber=str(1000 + seed.number(f"gid {uid}", 3)), homeDirectory=f"/home/{uid}",
        loginShell=seed.choice(f"shell {uid}", _SHELLS), userPassword=_password(seed, uid),
    ) | {"cn": (f"{given} {family}".encode(),)}  # fmt: skip


def _members(seed: Seed, number: int, group: str, uids: tuple[str, ...]) -> Attributes:
    members = [uid for uid in uids if seed.number(f"{group} {uid}", 3) == 0] or uids[:1]
    return _values(objectClass="top posixGroup", cn=group, gidNumber=str(1000 + number), memberUid=" ".join(members))


def _person(seed: Seed, number: int) -> tuple[str, tuple[str, str]]:
    given = seed.choice(f"given {number}", _GIVEN)
    family = seed.choice(f"family {number}", _FAMILY)
    style = seed.choice("style", ("{0}.{1}", "{2}{1}", "{0}"))
    return style.format(given.lower(), family.lower(), given[0].lower()), (given, family)


def _password(seed: Seed, who: str) -> str:
    """Return a salted hash that is nobody's password's (RFC 2307, `{SSHA}`)."""
    salt, secret = seed.bytes(f"salt {who}", 4), seed.bytes(f"secret {who}", 16)
    digest = hashlib.sha1(secret + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def _values(**texts: str) -> Attributes:
    """Return attributes whose values stand in one text, divided by blanks."""
    return {name: tuple(text.encode().split(b" ")) for name, text in texts.items()}


def _entry(seed: Seed, dn: str, attributes: Attributes, made_s: float) -> Entry:
    digits = seed.bytes(f"uuid {dn}", 16).hex()
    made = datetime.fromtimestamp(made_s + seed.number(f"made {dn}", 5_000_000), UTC)
    admin = f"cn=admin,{dn[dn.find('dc=') :]}".encode()
    stamp = f"{made:%Y%m%d%H%M%S}Z".encode()
    operational: Attributes = {
        "structuralObjectClass": (attributes["objectClass"][1],),
        "entryUUID": (f"{digits[:8]}-{digits[8:12]}-103{digits[12]}-9{digits[13:16]}-{digits[16:28]}".encode(),),
        "creatorsName": (admin,), "createTimestamp": (stamp,), "modifiersName": (admin,), "modifyTimestamp": (stamp,),
        "entryCSN": (f"{made:%Y%m%d%H%M%S}.{seed.number('csn ' + dn, 1_000_000):06d}Z#000000#000#000000".encode(),),
        "entryDN": (dn.encode(),), "subschemaSubentry": (b"cn=Subschema",),
    }  # fmt: skip
    return Entry(dn, attributes, operational)
