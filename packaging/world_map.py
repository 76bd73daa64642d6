"""Turns Natural Earth's countries (public domain, as the `world-atlas` npm package ships them) into the page's map.

The result is one JSON object: {"width", "height", "countries": {"DE": "M…Z", …}, "dots": {"SG": [x, y], …}}.
Paths are SVG path data in whole units of the given width, already in the Equal Earth projection (Šavrič, Patterson
and Jenny 2018), so that the page needs no geometry of its own. Countries too small to be seen or hit are dots.
"""

from __future__ import annotations

import math
from typing import Any

WIDTH = 10_000
TOLERANCE = 4.0  # units; a thousandth of the width is about a pixel on a desktop
DOT_AREA_MAX = 900.0  # square units; smaller countries get a dot besides their outline
RING_AREA_MIN = 60.0  # smaller islands of a country that has larger parts are left out

Point = tuple[float, float]
_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
# The map is cut where it hurts nobody: through the Bering Strait instead of through Chukotka.
CENTRE_LONGITUDE = 11.0
# Natural Earth has no number for these; they have no code of their own in ISO 3166 or are drawn with their neighbour.
_NAMED = {"Kosovo": "XK", "Somaliland": "SO", "N. Cyprus": "CY"}


def project(longitude: float, latitude: float) -> Point:
    """Return Equal Earth coordinates in radians-like units, y upwards."""
    theta = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(latitude)))
    t2 = theta * theta
    t6 = t2 * t2 * t2
    slope = 9 * _A4 * t6 * t2 + 7 * _A3 * t6 + 3 * _A2 * t2 + _A1
    x = 2 * math.sqrt(3) * math.radians(longitude) * math.cos(theta) / (3 * slope)
    return x, theta * (_A4 * t6 * t2 + _A3 * t6 + _A2 * t2 + _A1)


def simplify(line: list[Point], tolerance: float) -> list[Point]:
    """Douglas and Peucker. Ends stay, so that arcs shared by neighbours still fit together."""
    keep = {0, len(line) - 1}
    todo = [(0, len(line) - 1)]
    while todo:
        first, last = todo.pop()
        if last - first < 2:
            continue
        ax, ay = line[first]
        dx, dy = line[last][0] - ax, line[last][1] - ay
        norm = math.hypot(dx, dy)

        def distance(
            i: int, ax: float = ax, ay: float = ay, dx: float = dx, dy: float = dy, norm: float = norm
        ) -> float:
            px, py = line[i][0] - ax, line[i][1] - ay
            return abs(px * dy - py * dx) / norm if norm else math.hypot(px, py)

        far = max(range(first + 1, last), key=distance)
        if distance(far) > tolerance:
            keep.add(far)
            todo += [(first, far), (far, last)]
    return [line[i] for i in sorted(keep)]


def unwrapped(line: list[Point]) -> list[Point]:
    """Return longitudes without jumps, the middle of the line between -180 and 180."""
    out = [line[0]]
    for longitude, latitude in line[1:]:
        before = out[-1][0]
        out.append((before + (longitude - before + 180) % 360 - 180, latitude))
    middle = (min(x for x, _ in out) + max(x for x, _ in out)) / 2
    turn = (middle + 180) % 360 - 180 - middle
    return [(x + turn, y) for x, y in out]


def area(ring: list[Point]) -> float:
    """Return the area that a ring encloses."""
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True))) / 2


def path(ring: list[Point]) -> str:
    """Return a ring as SVG path data with whole relative steps."""
    x, y = round(ring[0][0]), round(ring[0][1])
    out = [f"M{x} {y}l"]
    for point in ring[1:]:
        dx, dy = round(point[0]) - x, round(point[1]) - y
        if dx or dy:
            out.append(f"{dx}{' ' if dy >= 0 else ''}{dy} ")
            x, y = x + dx, y + dy
    return "".join(out).strip() + "z"


def build(topology: dict[str, Any], alpha2_of: dict[str, str]) -> dict[str, Any]:
    """Return the map. `alpha2_of` maps ISO 3166 numbers such as "276" to codes such as "DE"."""
    half_width = project(180, 0)[0]
    scale = WIDTH / (2 * half_width)
    top = project(0, 83.7)[1]
    bottom = project(0, -56)[1]
    sx, sy = topology["transform"]["scale"]
    tx, ty = topology["transform"]["translate"]

    def placed(point: Point) -> Point:
        x, y = project(*point)
        return (x + half_width) * scale, (top - y) * scale

    def unpack(arc: list[list[int]]) -> list[Point]:
        x = y = 0
        points: list[Point] = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * sx + tx - CENTRE_LONGITUDE, y * sy + ty))
        points = unwrapped(points)
        where = {placed(point): point for point in points}
        return [where[place] for place in simplify([placed(point) for point in points], TOLERANCE)]

    arcs = [unpack(arc) for arc in topology["arcs"]]

    def ring_of(numbers: list[int]) -> list[Point]:
        points: list[Point] = []
        for number in numbers:
            part = arcs[number] if number >= 0 else arcs[~number][::-1]
            points += part[1:] if points else part
        return [placed(point) for point in unwrapped(points)]

    rings_of: dict[str, list[list[Point]]] = {}
    for geometry in topology["objects"]["countries"]["geometries"]:
        name = geometry["properties"]["name"]
        code = alpha2_of.get(str(geometry.get("id", "")).zfill(3)) or _NAMED.get(name)
        if code is None or code == "AQ":  # nobody attacks from Antarctica, and it would take a fifth of the space
            continue
        polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
        rings_of.setdefault(code, []).extend(ring_of(ring) for polygon in polygons for ring in polygon)

    countries: dict[str, str] = {}
    dots: dict[str, list[int]] = {}
    for code, rings in sorted(rings_of.items()):
        rings.sort(key=area, reverse=True)
        largest = rings[0]
        if area(largest) < DOT_AREA_MAX:
            xs, ys = [x for x, _ in largest], [y for _, y in largest]
            dots[code] = [round((min(xs) + max(xs)) / 2), round((min(ys) + max(ys)) / 2)]
        kept = [ring for ring in rings if area(ring) >= RING_AREA_MIN and len(ring) > 3]
        if kept:
            countries[code] = "".join(path(ring) for ring in kept)
    return {"width": WIDTH, "height": round((top - bottom) * scale), "countries": countries, "dots": dots}
