"""What lies retained at the broker: a home's switches, sensors and cameras, and the broker's own `$SYS`. All drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

VERSIONS = ("1.4.8", "1.4.15", "1.5.7", "1.6.7", "1.6.9", "1.6.12", "2.0.4", "2.0.11", "2.0.14")
_ROOMS = ("livingroom", "kitchen", "bedroom", "bathroom", "hallway", "garage", "office", "garden", "basement", "attic")
_SWITCHES = ("light", "lamp", "plug", "fan", "heater", "pump", "tv", "coffee")
_TASMOTA = ("8.5.1", "9.1.0", "9.3.1", "9.5.0", "10.1.0", "11.1.0", "12.0.2")
_ZIGBEE = ("1.13.1", "1.17.0", "1.22.1", "1.25.2", "1.28.4")


@dataclass(frozen=True, slots=True)
class Household:
    """One sensor's home."""

    seed: Seed
    host: Host
    version: str  # of the broker
    switches: tuple[str, ...]  # names of things with Tasmota's firmware
    sensors: tuple[tuple[str, str], ...]  # names and addresses of what speaks Zigbee

    def retained(self, at_s: float) -> Iterator[tuple[bytes, bytes]]:
        """Yield all topics with their messages as they are at that time."""
        draw = self.seed.number
        for at, name in enumerate(self.switches):
            version = self.seed.choice("tasmota", _TASMOTA)
            address = f"{self.host.address.rpartition('.')[0]}.{20 + draw(f'address {name}', 200)}"
            power = "ON" if draw(f"power {name} {int(at_s // 7200)}", 3) else "OFF"
            yield f"tele/{name}/LWT".encode(), b"Online"
            yield f"stat/{name}/POWER".encode(), power.encode()
            yield (
                f"tele/{name}/INFO2".encode(),
                f'{{"WebServerMode":"Admin","Hostname":"{name}-{1000 + draw(f"id {name}", 8000)}",'
                f'"IPAddress":"{address}","Version":"{version}(tasmota)","Slot":{at}}}'.encode(),
            )
        for name, address in self.sensors:
            yield f"zigbee2mqtt/{name}".encode(), self.reading(name, at_s)
            yield (
                f"homeassistant/sensor/{address}/temperature/config".encode(),
                (
                    f'{{"name":"{name} temperature","state_topic":"zigbee2mqtt/{name}","unit_of_measurement":"C",'
                    f'"unique_id":"{address}_temperature","value_template":"{{{{ value_json.temperature }}}}"}}'
                ).encode(),
            )
        yield b"zigbee2mqtt/bridge/state", b"online"
        yield (
            b"zigbee2mqtt/bridge/config",
            f'{{"version":"{self.seed.choice("zigbee", _ZIGBEE)}","log_level":"info","permit_join":false}}'.encode(),
        )
        yield b"homeassistant/status", b"online"

    def reading(self, name: str, at_s: float) -> bytes:
        """Return what a sensor says at that time; it changes every few minutes."""
        now = self.seed.child(f"{name} {int(at_s // 300)}").number
        temperature = 16 + self.seed.number(f"warmth {name}", 7) + now("temperature", 150) / 100
        humidity = 38 + self.seed.number(f"humidity {name}", 25) + now("humidity", 300) / 100
        battery, quality = 60 + self.seed.number(f"battery {name}", 41), 40 + now("quality", 160)
        return (
            f'{{"battery":{battery},"humidity":{humidity:.2f},"linkquality":{quality},"temperature":{temperature:.2f},'
            f'"voltage":{2985 + now("v", 40)}}}'
        ).encode()

    def system(self, at_s: float) -> Iterator[tuple[bytes, bytes]]:
        """Yield the broker's figures, as mosquitto writes them."""
        uptime_s, draw = int(self.host.uptime_s(at_s)), self.seed.number
        received = uptime_s // 3 + draw("received", 9000)
        clients, stored = len(self.switches) + 2, 40 + draw("stored", 60)
        for name, value in (
            ("version", f"mosquitto version {self.version}"), ("uptime", f"{uptime_s} seconds"),
            ("clients/total", clients), ("clients/connected", clients), ("clients/inactive", 0),
            ("clients/maximum", clients + draw("maximum", 4)), ("messages/received", received),
            ("messages/sent", received * 3 + draw("sent", 900)), ("messages/stored", stored),
            ("subscriptions/count", 9 + draw("subscriptions", 30)), ("retained messages/count", stored),
            ("bytes/received", received * 61), ("bytes/sent", received * 170),
            ("load/messages/received/1min", f"{20 + draw('load', 900) / 100:.2f}"),
        ):  # fmt: skip
            yield f"$SYS/broker/{name}".encode(), str(value).encode()


def household_of(host: Host) -> Household:
    """Return the home of this host."""
    seed = host.seed.child("mqtt")
    rooms = sorted(_ROOMS, key=lambda room: seed.bytes(f"room {room}", 4))[: 4 + seed.number("rooms", 4)]
    switches = tuple(f"{room}_{seed.choice(f'switch {room}', _SWITCHES)}" for room in rooms[1:])
    return Household(
        seed, host, seed.choice("version", VERSIONS), switches,
        tuple((f"{room}_sensor", f"0x00158d00{seed.bytes(f'address {room}', 4).hex()}") for room in rooms),
    )  # fmt: skip
