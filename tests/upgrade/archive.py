"""Packs the package as it was at a revision, for workers of an earlier release.

Run as `python tests/upgrade/archive.py REVISION`.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ARCHIVE = Path(__file__).with_name("schema_1.zip")
PARTS = ("src/sharedbreaker", "lua")
LEFT_OUT = ("src/sharedbreaker/cli/", "src/sharedbreaker/demo/", "src/sharedbreaker/integrations/")


def main(revision: str) -> None:
    """Write the archive: the core and its scripts, as Python imports them from a zip."""
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision, *PARTS], check=True, capture_output=True
    ).stdout
    with (
        tarfile.open(fileobj=io.BytesIO(packed)) as source,
        zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made,
    ):
        for member in source:
            text = source.extractfile(member)
            if text is None or member.name.startswith(LEFT_OUT):
                continue
            name = member.name.removeprefix("src/")
            if name.startswith("lua/"):
                name = f"sharedbreaker/{name}"
            # The same moment for each, so that the same revision gives the same file.
            made.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text.read(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main(sys.argv[1])
