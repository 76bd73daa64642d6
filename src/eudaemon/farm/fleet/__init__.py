"""The sensors that are admitted, and what about each calls for a look."""

from eudaemon.farm.fleet.fleet import FARM, HEALTH_BYTES_MAX, Fleet, FleetError, Sensor

__all__ = ["FARM", "HEALTH_BYTES_MAX", "Fleet", "FleetError", "Sensor"]
