"""Re-creates src/eudaemon/farm/web/vendor/ from pinned npm packages: `python packaging/vendor_web.py`.

The page is served without any build step or foreign host, so the few libraries that it uses stand in the repository
as files, each with its licence and its SHA-256 in vendor/MANIFEST.json. Needs `npm` and the npm registry.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

from world_map import build

VENDOR = Path(__file__).resolve().parent.parent / "src/eudaemon/farm/web/vendor"

# (package, version, file in the package, name here, what it is for)
FILES = (
    ("preact", "11.2.0", "dist/preact.mjs", "preact.mjs", "draws the page (MIT)"),
    ("preact", "11.2.0", "hooks/dist/hooks.mjs", "hooks.mjs", "state in components (MIT)"),
    ("preact", "11.2.0", "LICENSE", "LICENSE.preact", ""),
    ("htm", "3.1.1", "dist/htm.mjs", "htm.mjs", "templates without a build step (Apache-2.0)"),
    ("htm", "3.1.1", "LICENSE", "LICENSE.htm", ""),
    ("@xterm/headless", "6.0.0", "lib-headless/xterm-headless.mjs", "xterm-headless.mjs", "terminal for replays (MIT)"),
    ("@xterm/xterm", "6.0.0", "LICENSE", "LICENSE.xterm", "the headless package ships without its licence file"),
)  # fmt: skip
MAP = (("world-atlas", "2.0.2", "countries-50m.json"), ("i18n-iso-countries", "7.14.0", "codes.json"))


def package_file(folder: Path, package: str, version: str, name: str) -> bytes:
    """Return one file of an npm package, downloaded once per run."""
    archive = folder / f"{package.lstrip('@').replace('/', '-')}-{version}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=folder, check=True, capture_output=True)
    with tarfile.open(archive) as tar:
        member = tar.extractfile(f"package/{name}")
        assert member is not None, f"{package} {version} has no {name}"
        return member.read()


def adapted(data: bytes, name: str) -> bytes:
    """Return a module as a browser can load it from here: relative imports, no pointer to an absent source map."""
    if not name.endswith(".mjs"):
        return data
    text = data.decode().replace('from"preact"', 'from"./preact.mjs"')
    lines = [line for line in text.split("\n") if not line.startswith("//# sourceMappingURL=")]
    return "\n".join(lines).encode()


def main() -> None:
    """Write every vendored file, the map and the manifest."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, dict[str, str]] = {}

    def write(name: str, data: bytes, source: str, use: str) -> None:
        (VENDOR / name).write_bytes(data)
        manifest[name] = {"from": source, "for": use, "sha256": hashlib.sha256(data).hexdigest()}

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for package, version, source, name, use in FILES:
            data = adapted(package_file(folder, package, version, source), name)
            write(name, data, f"{package}@{version}/{source}", use)
        topology, codes = (json.loads(package_file(folder, *item)) for item in MAP)
        world = build(topology, {number: alpha2 for alpha2, _, number, *_ in codes})
        data = json.dumps(world, separators=(",", ":"), sort_keys=True).encode()
        write("world.json", data, "world-atlas@2.0.2/countries-50m.json", "the map (Natural Earth, public domain)")
    (VENDOR / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
