"""Evidence: what was seen when input took control of a possessed process; kept, shown, and made into signatures.

Owns the report and what is made of it, from values alone. It looks into no process: `eudaemon.possession` does, and
fills the report in.
"""

from __future__ import annotations
