"""Test doubles and scripts, shipped with the package so that nobody mocks. Nothing in `src` imports this."""
