"""The environments that the subjects run in, and the one place where the peers' versions stand.

Peers are installed apart from ours, so that no requirement of theirs decides what we run on. redis-py and
hiredis are the same as ours where a peer allows it, so that what is compared is the breaker.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.catalogue import OURS, PEERS

ROOT = Path(__file__).parents[1]
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet", "install")


@dataclass(frozen=True)
class PeerEnvironment:
    """What is installed where.

    Args:
        packages: requirements, pinned.
        bare_packages: the same for those that are installed without looking at what they ask for.

    """

    packages: tuple[str, ...]
    bare_packages: tuple[str, ...] = ()


PEER_ENVIRONMENTS = {
    PEERS: PeerEnvironment(
        packages=(
            "pybreaker==1.4.1",
            "circuitbreaker==2.1.3",
            "redis=={redis}",
            "hiredis=={hiredis}",
        ),
    ),
}


def python_of(environment: str) -> Path:
    """Return the interpreter of an environment."""
    if environment == OURS:
        return Path(sys.executable)
    return ROOT / ".venv" / f"bench-{environment}" / "bin" / "python"


def make(environment: str) -> None:
    """Make a peer environment, unless it is there as it should be. Takes half a minute."""
    wanted = PEER_ENVIRONMENTS[environment]
    ours = {package: version(package) for package in ("redis", "hiredis")}
    packages = [package.format(**ours) for package in wanted.packages]
    stamp = hashlib.sha256(repr((packages, wanted.bare_packages, sys.version)).encode()).hexdigest()
    folder = python_of(environment).parents[1]
    mark = folder / "made-from"
    if mark.is_file() and mark.read_text() == stamp:
        return
    print(f"installing the peers into {folder.relative_to(ROOT)}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    python = str(python_of(environment))
    subprocess.run([python, *PIP, *packages], check=True)
    if wanted.bare_packages:
        bare = ("--no-deps", "--ignore-requires-python", *wanted.bare_packages)
        subprocess.run([python, *PIP, *bare], check=True)
    mark.write_text(stamp)
