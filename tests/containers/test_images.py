"""What is in an image, what is not, and how much of it a change of the code replaces."""

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose_suite import ROOT, SERVICES, ComposeSuite, run

pytestmark = pytest.mark.containers


def inspect_image(name: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(run("docker", "image", "inspect", name))[0]
    return described


def layers_of(name: str) -> list[str]:
    layers: list[str] = inspect_image(name)["RootFS"]["Layers"]
    return layers


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the parts of the repository that a build looks at."""
    for folder in ("services", "requirements"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    return tmp_path


@pytest.fixture
def build(suite: ComposeSuite, checkout: Path) -> Iterator[Callable[[str], str]]:
    """Return a function that builds a service's image from the copy and returns its name."""
    built: list[str] = []

    def build_image(service: str) -> str:
        image = f"{suite.project}-changed-{service}"
        run(
            *("docker", "build", "--file", str(checkout / "services/Dockerfile")),
            *("--build-arg", f"SERVICE={service}", "--tag", image, str(checkout)),
            timeout_s=900,
        )
        built.append(image)
        return image

    yield build_image
    run("docker", "image", "rm", "--force", *built)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_runs_as_nobody_in_particular_and_says_what_it_is(
    suite: ComposeSuite, service: str, note_figure: Callable[[str], None]
) -> None:
    described = inspect_image(suite.inspect(service)["Image"])
    version = suite.ask("GET", service, "/health")["version"]

    note_figure(f"image {service}: {described['Size'] / 1e6:.0f} MB")
    assert described["Config"]["User"] == "10001:10001"
    labels = described["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"cellar {service}"
    assert labels["org.opencontainers.image.version"] == version


@pytest.mark.parametrize("service", SERVICES)
def test_all_bytecode_is_in_the_image(suite: ComposeSuite, service: str) -> None:
    missing = suite.inside(
        service,
        "python",
        "-c",
        "import importlib.util as u, pathlib\n"
        "for p in pathlib.Path('/opt/cellar').rglob('*.py'):\n"
        "    if not pathlib.Path(u.cache_from_source(p)).is_file(): print(p)\n"
        "import flask, sqlalchemy\n"
        "for m in (flask, sqlalchemy):\n"
        "    if not pathlib.Path(m.__cached__).is_file(): print(m.__file__)\n",
    )

    assert missing.strip() == ""


@pytest.mark.parametrize("service", SERVICES)
def test_no_password_is_in_an_image(suite: ComposeSuite, service: str) -> None:
    image = suite.inspect(service)["Image"]
    settings = json.dumps(inspect_image(image)["Config"])
    history = run("docker", "history", "--no-trunc", image)

    # Values differ from run to run, so names are looked for as well.
    for name, value in suite.variables.items():
        assert value not in history + settings
        assert name not in history + settings
    assert "PASSWORD" not in (history + settings).upper()


def test_what_lies_about_in_a_checkout_does_not_get_into_an_image(
    checkout: Path, build: Callable[[str], str]
) -> None:
    canary = secrets.token_hex(16)
    left_behind = (
        ".env",
        "services/.env",
        "services/simulator/.env",
        "services/simulator/.cache/x",
        "services/simulator/README.md",
        "requirements/.env",
        "tests/test_x.py",
    )
    for path in left_behind:
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(f"POSTGRES_PASSWORD={canary}\n")

    image = build("simulator")

    search = f"grep --recursive --files-with-matches {canary} /opt/cellar /usr/local/bin || true"
    assert run("docker", "run", "--rm", "--network", "none", image, "sh", "-c", search) == ""


def test_a_change_of_the_code_replaces_one_layer_of_one_image(
    suite: ComposeSuite,
    checkout: Path,
    build: Callable[[str], str],
    note_figure: Callable[[str], None],
) -> None:
    with (checkout / "services/simulator/app.py").open("a") as code:
        code.write(f"\n# {secrets.token_hex(8)}\n")

    started = time.monotonic()
    changed = layers_of(build("simulator"))
    note_figure(f"rebuild after a change of the code: {time.monotonic() - started:.1f} s")

    before = layers_of(suite.inspect("simulator")["Image"])
    assert changed[:-1] == before[:-1]
    assert changed[-1] != before[-1]
    assert layers_of(build("monitoring")) == layers_of(suite.inspect("monitoring")["Image"])
