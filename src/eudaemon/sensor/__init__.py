"""The collector's runtime: asyncio for attackers. Standard library alone, so that it runs on a router."""
