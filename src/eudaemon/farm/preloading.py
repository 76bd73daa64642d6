"""What the farm imports only when it is first needed, imported now: after root is given up it may be out of reach.

A test runs a farm and compares what was imported before and after `bind`.
"""

from __future__ import annotations

import importlib

from eudaemon.farm.store.cgroups import without_cgroups

# Who imports it late, in brackets.
MODULES = (
    "anyio._backends._asyncio",  # (anyio, at the first thread of a request)
    "chdb.session",  # (the engine)
    "encodings.idna",  # (the socket module, at the first name)
    "eudaemon.payload.fuzzy",
    "eudaemon.payload.yara",
    "pydantic._internal._dataclasses",  # (FastAPI, when it first makes the OpenAPI document)
    "stringprep",  # (encodings.idna)
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
)


def load(*, s3: bool) -> None:
    """Import them; with `s3` also the client of object stores."""
    with without_cgroups():
        for module in (*MODULES, *(("obstore", "obstore.exceptions") if s3 else ())):
            importlib.import_module(module)
