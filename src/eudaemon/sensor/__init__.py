"""Serving attackers: listening, the one driver of all rooms, limits, captures, the spool and the way to the farm."""
