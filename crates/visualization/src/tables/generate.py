"""Writes the colour tables of this folder: 32 lines of eight colours, rrggbb.

Needs numpy and matplotlib (3.11 was used):  python generate.py
The tables viridis, inferno and magma are by Nathaniel J. Smith and Stefan van der Walt (viridis with Eric Firing),
released under CC0 1.0. cividis is by Jamie R. Nunez, Christopher R. Anderton and Ryan S. Renslow, "Optimizing colormaps with
consideration for color vision deficiency to enable accurate interpretation of scientific data" (PLoS ONE 13, 2018), whose
table matplotlib ships under its own (BSD-style) licence. coolwarm is Kenneth Moreland's, "Diverging Color Maps for Scientific
Visualization" (2009), in the public domain. A channel is the table's value times 255, rounded to nearest.
"""

from pathlib import Path

import matplotlib
import numpy as np

for name in ("viridis", "inferno", "magma", "cividis", "coolwarm"):
    rgb = np.rint(matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).astype(int)
    codes = ["%02x%02x%02x" % tuple(c) for c in rgb]
    lines = [" ".join(codes[i : i + 8]) for i in range(0, 256, 8)]
    Path(__file__).with_name(f"{name}.hex").write_text("\n".join(lines) + "\n")
