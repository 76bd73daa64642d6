"""Where sensors deliver: who is let in, how a batch is read, and when it is durable."""

from eudaemon.farm.intake.intake import Intake, Taker

__all__ = ["Intake", "Taker"]
