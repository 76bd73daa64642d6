"""Harmless attacks on one's own sensor: to see that it works, to teach, to test. Refuses other people's hosts."""
