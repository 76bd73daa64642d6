"""Who answers: an Internet gateway (UPnP Forum, InternetGatewayDevice:1), with words drawn from the seed.

Realtek's SDK (`/picsdesc.xml`) and Huawei's (37215) are what worms look for; the ports say which of them it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from eudaemon.world.host import Host

HUAWEI_PORT, REALTEK_PORT = 37215, 52869
# Makers, and what their Server headers say, as service scanners know them. All of them built miniupnpd in.
_MAKERS = (
    ("ZTE", "ZTE/1.0 UPnP/1.0 miniupnpd/1.0"), ("NETGEAR", "Netgear/1.0 UPnP/1.0 miniupnpd/1.0"),
    ("NETGEAR", "Netgear/V1.0 UPnP/1.0 miniupnpd/1.0"), ("ARRIS", "Arris/1.0 UPnP/1.0 miniupnpd/1.0"),
    ("Asus", "ASUSTeK UPnP/1.0 MiniUPnPd/1.4"), ("Tomato", "Tomato UPnP/1.0 MiniUPnPd/1.4"),
)  # fmt: skip
_SERVICES = (  # in which device, type, id, description
    (0, "Layer3Forwarding:1", "L3Forwarding1", "l3f"),
    (1, "WANCommonInterfaceConfig:1", "WANCommonIFC1", "wancfg"),
    (2, "WANIPConnection:1", "WANIPConn1", "wanipcn"),
)
_DEVICES = ("InternetGatewayDevice:1", "WANDevice:1", "WANConnectionDevice:1")


@dataclass(frozen=True, slots=True)
class Device:
    """One sensor's gateway at one of its ports."""

    server: str
    description: str  # path of its description
    maker: str
    model: str
    title: str
    number: str
    uuid: str  # of the root device; the others differ in their last digit
    external: str  # what it says that its address on the Internet is

    def types(self) -> tuple[str, ...]:
        """Return what one may search for, besides the uuid (UPnP Device Architecture 1.1, section 1.3.2)."""
        named = (*(f"device:{name}" for name in _DEVICES), *(f"service:{service}" for _, service, _, _ in _SERVICES))
        return ("upnp:rootdevice", *(f"urn:schemas-upnp-org:{name}" for name in named))

    def document(self) -> bytes:
        """Return the description of the device (section 2.3)."""
        inner = ""
        for level in reversed(range(len(_DEVICES))):
            services = "".join(
                f"<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType>"
                f"<serviceId>urn:upnp-org:serviceId:{name}</serviceId><controlURL>/upnp/control/{name}</controlURL>"
                f"<eventSubURL>/upnp/event/{name}</eventSubURL><SCPDURL>/{file}.xml</SCPDURL></service>\r\n"
                for where, kind, name, file in _SERVICES if where == level
            )  # fmt: skip
            title = self.title if not level else _DEVICES[level].partition(":")[0]
            below = f"<deviceList>\r\n{inner}</deviceList>" if inner else ""
            shown = "<presentationURL>/</presentationURL>" if not level else ""
            inner = (
                f"<device><deviceType>urn:schemas-upnp-org:device:{_DEVICES[level]}</deviceType>\r\n"
                f"<friendlyName>{title}</friendlyName><manufacturer>{self.maker}</manufacturer>"
                f"<modelDescription>{self.title}</modelDescription><modelName>{self.model}</modelName>"
                f"<modelNumber>1</modelNumber><serialNumber>{self.number}</serialNumber>\r\n"
                f"<UDN>uuid:{self.uuid[:-1]}{level}</UDN><serviceList>{services}</serviceList>{below}{shown}</device>\r\n"
            )
        return (
            '<?xml version="1.0"?>\r\n<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major>'
            f"<minor>0</minor></specVersion>\r\n{inner}</root>\r\n"
        ).encode()

    def found(self, target: str, address: str, credit_bytes: int) -> bytes:
        """Return the answer to a search, with as many of its headers as `credit_bytes` allow, the needed ones first."""
        which = f"uuid:{self.uuid[:-1]}0"
        named = which if target.startswith("uuid:") else f"{which}::{target}"
        headers = (f"LOCATION:http://{address}{self.description}", f"ST:{target}", f"USN:{named}",
                   f"SERVER:{self.server}", "CACHE-CONTROL:max-age=1800", "EXT:")  # fmt: skip
        answer = ""
        for count in range(1, len(headers) + 1):
            longer = "\r\n".join(("HTTP/1.1 200 OK", *headers[:count], "", ""))
            if len(longer) > credit_bytes:
                break
            answer = longer
        return answer.encode()


def interface(actions: dict[str, tuple[str, ...]]) -> bytes:
    """Return the description of a service (section 2.5): its actions, and what each gives."""
    listed = "".join(
        f"<action><name>{name}</name><argumentList>"
        + "".join(f"<argument><name>{one}</name><direction>out</direction><relatedStateVariable>{one[3:]}"
                  "</relatedStateVariable></argument>" for one in gives)
        + "</argumentList></action>\r\n"
        for name, gives in actions.items()
    )  # fmt: skip
    told = dict.fromkeys(one[3:] for gives in actions.values() for one in gives)
    variables = "".join(
        f'<stateVariable sendEvents="no"><name>{one}</name><dataType>string</dataType></stateVariable>' for one in told
    )
    return (
        '<?xml version="1.0"?>\r\n<scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major>'
        f"<minor>0</minor></specVersion><actionList>{listed}</actionList>"
        f"<serviceStateTable>{variables}</serviceStateTable></scpd>\r\n"
    ).encode()


@lru_cache(maxsize=16)
def device_of(host: Host, port: int) -> Device:
    """Return the gateway that answers on this port."""
    seed = host.seed.child("upnp")
    maker, server = seed.choice("maker", _MAKERS)
    is_huawei = port % 1000 == HUAWEI_PORT % 1000  # also where all ports are moved up
    digits = seed.bytes("uuid", 16).hex()
    octets = seed.bytes("external", 3)
    return Device(
        server="Linux UPnP/1.0 Huawei-ATP-IGD" if is_huawei else server,
        description="/rootDesc.xml" if is_huawei else "/picsdesc.xml",
        maker="Huawei Technologies Co., Ltd." if is_huawei else maker,
        model=host.name,
        title=host.title,
        number=host.serial,
        uuid=f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{host.mac.replace(':', '')}",
        external=f"{(100, 94, 79, 87)[octets[0] % 4]}.{64 + octets[0] % 60}.{octets[1]}.{1 + octets[2] % 250}",
    )
