"""Libraries that others wrote, for our pages: unchanged files, each in a folder of its own with its licence.

| folder | library | version | from | licence |
| --- | --- | --- | --- | --- |
| niivue/ | NiiVue, a viewer of volumes | 0.69.0 | npm, @niivue/niivue, dist/niivue.umd.js | BSD-2-Clause |

The files are part of the package, so a page needs no network. To take another version, replace the file, this table
and the digest; a test compares them.
"""

from pathlib import Path

_HERE = Path(__file__).parent

NIIVUE = _HERE / "niivue" / "niivue.umd.js"  # a script that defines the global name `niivue`
NIIVUE_VERSION = "0.69.0"
NIIVUE_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"

LIBRARIES = {NIIVUE: NIIVUE_SHA256}  # file -> digest of its bytes
