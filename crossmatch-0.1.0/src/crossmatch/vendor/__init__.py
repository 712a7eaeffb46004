"""Libraries that others wrote, for our pages: unchanged files, each in a folder of its own with its licence.

| folder | library | version | from | licence |
| --- | --- | --- | --- | --- |
| niivue/ | NiiVue, a viewer of volumes | 0.69.0 | npm, @niivue/niivue, dist/niivue.umd.js | BSD-2-Clause |
| uplot/ | uPlot, curves that zoom | 1.6.32 | npm, uplot, dist/uPlot.iife.min.js and uPlot.min.css | MIT |

The files are part of the package, so a page needs no network. To take another version, replace the file, this table
and the digest; a test compares them.
"""

from pathlib import Path

_HERE = Path(__file__).parent

NIIVUE = _HERE / "niivue" / "niivue.umd.js"  # a script that defines the global name `niivue`
NIIVUE_VERSION = "0.69.0"
NIIVUE_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"

UPLOT = _HERE / "uplot" / "uPlot.iife.min.js"  # a script that defines the global name `uPlot`
UPLOT_STYLE = _HERE / "uplot" / "uPlot.min.css"
UPLOT_VERSION = "1.6.32"
UPLOT_SHA256 = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
UPLOT_STYLE_SHA256 = "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"

LIBRARIES = {NIIVUE: NIIVUE_SHA256, UPLOT: UPLOT_SHA256, UPLOT_STYLE: UPLOT_STYLE_SHA256}  # file -> digest of its bytes
