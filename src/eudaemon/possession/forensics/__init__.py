"""From a thread that waits for a verdict to a report: what is in its process is copied at once, then thought about.

`scene` copies while the thread stands; `examine` makes the report from the copy, when the thread has its answer.
"""

from __future__ import annotations
