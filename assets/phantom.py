#!/usr/bin/env python3
"""Draws phantom.png: a made-up picture in the manner of a frontal chest radiograph, 640 x 768, 8-bit grey.

    python3 phantom.py [phantom.png]

Every pixel is a sum of thicknesses (body, lungs, heart, spine, ribs, clavicles, one nodule) turned into grey by
1 - exp(-t). Nothing but the standard library; the same bytes on every run with the same zlib.
"""

import math
import struct
import sys
import zlib

WIDTH, HEIGHT = 640, 768
NODULE = (214, 300, 17)  # centre x, centre y, radius: in the lung on the left of the picture


def soft(distance, width):
    """1 inside (distance < 0), 0 outside, smooth over about `width` pixels."""
    return 1 / (1 + math.exp(max(-60.0, min(60.0, 4 * distance / width))))


def ellipse(x, y, centre_x, centre_y, radius_x, radius_y, width=8.0, power=2.0):
    """A soft filled superellipse."""
    u, v = abs(x - centre_x) / radius_x, abs(y - centre_y) / radius_y
    radius = (u**power + v**power) ** (1 / power)
    return soft((radius - 1) * min(radius_x, radius_y), width)


def ribs(x, y):
    """Ten arcs on each side that fall away from the spine."""
    side = abs(x - WIDTH / 2) / 200
    if side > 1.1:
        return 0.0
    total = 0.0
    for rib in range(10):
        middle = 130 + 46 * rib + 70 * side**2 - 24 * side
        total += math.exp(-(((y - middle) / 7) ** 2))
    return total * soft((side - 1.02) * 200, 10)


def clavicles(x, y):
    side = abs(x - WIDTH / 2)
    middle = 128 - 0.14 * side + 8 * math.sin(side / 45)
    return math.exp(-(((y - middle) / 9) ** 2)) * soft(20 - side, 8) * soft(side - 215, 10)


def thickness(x, y):
    body = ellipse(x, y, 320, 470, 285, 430, 14, 3.2) + 0.5 * ellipse(x, y, 320, 60, 85, 120, 14)
    lungs = ellipse(x, y, 200, 345, 98, 235, 12, 2.3) + ellipse(x, y, 440, 345, 98, 235, 12, 2.3)
    domes = ellipse(x, y, 195, 640, 130, 125, 8) + ellipse(x, y, 445, 655, 130, 125, 8)
    air = lungs * (1 - min(1.0, domes))
    heart = ellipse(x, y, 372, 470, 105, 90, 14)
    middle = math.exp(-(((x - 322) / 42) ** 2)) * soft(90 - y, 30)
    spine = math.exp(-(((x - 320) / 24) ** 2)) * (1 + 0.25 * math.cos(y / 6.5))
    trachea = math.exp(-(((x - 318) / 11) ** 2)) * soft(y - 235, 20)
    centre_x, centre_y, radius = NODULE
    nodule = math.exp(-((((x - centre_x) ** 2 + (y - centre_y) ** 2) / radius**2) ** 2))
    vessels = 0.5 + 0.5 * math.sin(0.11 * x + 2.2 * math.sin(0.021 * y)) * math.sin(0.07 * y + 0.03 * x)
    return (
        1.05 * body
        - 0.86 * air * (1 - 0.10 * vessels)
        + 0.42 * heart
        + 0.40 * middle * body
        + 0.30 * spine * body
        - 0.22 * trachea
        + 0.11 * ribs(x, y) * body
        + 0.20 * clavicles(x, y)
        + 0.26 * nodule
    )


def grey(x, y):
    return max(0, min(255, round(255 * (1 - math.exp(-1.15 * max(0.0, thickness(x, y)))))))


def png(rows):
    """An 8-bit grey PNG; every row is stored as its difference from the row above (filter 2)."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    above, data = bytes(WIDTH), bytearray()
    for row in rows:
        data.append(2)
        data.extend((a - b) & 255 for a, b in zip(row, above))
        above = row
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(data), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else "phantom.png"
    with open(path, "wb") as file:
        file.write(png([bytes(grey(x, y) for x in range(WIDTH)) for y in range(HEIGHT)]))
