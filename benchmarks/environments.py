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
            "aiobreaker==1.2.0",
            "aiobreaker-redis==0.1.0",
            "asyncbreaker==2.1.1",
            "circuit-breaker-box==0.3.9",
            "circuitbreaker==2.1.3",
            "fluxgate==0.9.4",
            "hyx==0.0.2",
            "interlock-cb==2.8.2",
            "nopanic==0.3.0",
            "nopanic-redis==0.1.0",
            "pybreaker==1.4.1",
            "purgatory==3.0.1",
            "ss-utils-circuit-breaker==0.0.1",
            # The last one that ss-utils-circuit-breaker works with.
            "coredis==5.7.0",
            "redis=={redis}",
            "hiredis=={hiredis}",
        ),
        # It asks for Python 3.12, and runs on 3.11.
        bare_packages=("c-breaker==0.1.6",),
    ),
}
NOT_MEASURED = {
    "resilient-llm-gateway": "its breaker is a part of a gateway, and wants Python 3.12 and redis-py below 6",
    "chuk-tool-processor": "its breaker is a part of its tool executor",
    "baldur-framework": "a framework of its own; a running worker reads no state that others wrote",
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
    if subprocess.run([python, *PIP, *packages], check=False).returncode != 0:
        # One that this Python cannot have must not keep the others away; its adapter says that it is missing.
        for package in packages:
            subprocess.run([python, *PIP, package], check=False)
    bare = ("--no-deps", "--ignore-requires-python", *wanted.bare_packages)
    subprocess.run([python, *PIP, *bare], check=False)
    mark.write_text(stamp)


def peer_packages(environment: str) -> list[str]:
    """Return the names of what is installed in a peer environment."""
    wanted = PEER_ENVIRONMENTS[environment]
    return [package.partition("==")[0] for package in (*wanted.packages, *wanted.bare_packages)]
