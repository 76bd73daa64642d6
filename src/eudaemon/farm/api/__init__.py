"""The JSON API and the page: who may ask, what may be asked, and how it is answered.

guard (login, limits, headers) ─▶ app ─▶ accounts, overview, sessions, samples ─▶ queries ─▶ store
"""

from eudaemon.farm.api.app import create_app
from eudaemon.farm.api.common import Parts

__all__ = ["Parts", "create_app"]
