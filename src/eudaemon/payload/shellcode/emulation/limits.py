"""How much one examination may cost. What an attacker can grow has its number here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Per run, except for what says otherwise."""

    seconds_max: float = 5.0  # of all runs together
    starts_max: int = 160  # runs, all together
    instructions_max: int = 20_000_000
    instructions_all_max: int = 60_000_000  # of all runs together
    first_look_instructions_max: int = 1_000_000  # of a run that has called nothing yet
    calls_max: int = 1_500
    same_call_max: int = 48  # from one place, before the run is held to repeat itself
    threads_max: int = 4
    memory_bytes_max: int = 32 * 1024 * 1024  # that the code asks its system for
    allocation_bytes_max: int = 8 * 1024 * 1024
    received_bytes_max: int = 16 * 1024  # that one connection brings
    behaviours_max: int = 64
    faults_max: int = 64  # that a handler of its own may catch
    listing_instructions_max: int = 400_000
    listing_lines_max: int = 600


TEXT_CHARS_MAX = 1024  # of a string in the code's memory that is looked at
SHOWN_CHARS_MAX = 160  # of it that stand in a trace
