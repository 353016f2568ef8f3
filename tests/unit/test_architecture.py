"""The layering as rules: who may import what, and who may commit.

Each rule is a function over the parsed modules of `services/`; a new module is under it at once.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "services"
SERVICES = {"simulator", "ml_model", "tracking", "monitoring"}
SHARED = {"servicekit", "contracts", "schema", "modelkit", "mlflowrest", "jobkit"}
DUMPING_GROUNDS = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


@dataclass(frozen=True)
class Module:
    """A parsed module: its dotted parts below `services/` and its tree."""

    parts: tuple[str, ...]
    tree: ast.Module

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.parts)

    @property
    def package(self) -> str:
        """The folder directly under `services/`."""
        return self.parts[0]

    @property
    def layer(self) -> str:
        """`controller`, `service`, `repository`, or the name of the module itself."""
        return self.parts[1] if len(self.parts) > 1 else ""

    def imports(self) -> Iterator[str]:
        """Every dotted name this module imports, wherever the import stands, typing included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self.parts[: -node.level] if node.level else ()
                yield ".".join((*base, *((node.module or "").split(".") if node.module else ())))

    def imports_any(self, *packages: str) -> list[str]:
        """Those imports that lie in one of `packages`."""
        return [
            name
            for name in self.imports()
            if any(name == package or name.startswith(f"{package}.") for package in packages)
        ]

    def calls(self) -> Iterator[ast.Call]:
        """Every call in the module."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))


@cache
def modules() -> tuple[Module, ...]:
    """All modules under `services/`."""
    return tuple(
        Module(
            path.relative_to(ROOT).with_suffix("").parts,
            ast.parse(path.read_text(encoding="utf-8"), filename=str(path)),
        )
        for path in sorted(ROOT.rglob("*.py"))
        if "__pycache__" not in path.parts
    )


Rule = Callable[[Module], list[str]]


def no_service_imports_another(module: Module) -> list[str]:
    """A service calls another over REST, never in process."""
    if module.package not in SERVICES:
        return module.imports_any(*SERVICES)
    return module.imports_any(*(SERVICES - {module.package}))


def servicekit_has_no_domain(module: Module) -> list[str]:
    """The kit knows neither the domain nor its frameworks."""
    if module.package != "servicekit":
        return []
    foreign = ("mlflow", "evidently", "sklearn", "pandas", "numpy", "skops")
    return module.imports_any(*foreign, *(SHARED - {"servicekit"}), *SERVICES)


def contracts_are_types_only(module: Module) -> list[str]:
    """Wire types need pydantic and the kit's base, nothing else."""
    if module.package != "contracts":
        return []
    own = {"contracts", "pydantic", "servicekit.wire", "typing", "annotated_types"}
    own |= {"collections.abc", "datetime", "enum", "dataclasses", "__future__"}
    return [
        name
        for name in module.imports()
        if not any(name == allowed or name.startswith(f"{allowed}.") for allowed in own)
    ]


def mlflow_stays_out_of(module: Module) -> list[str]:
    """Only the ML service and tracking know MLflow."""
    return [] if module.package in {"ml_model", "tracking"} else module.imports_any("mlflow")


def evidently_stays_out_of(module: Module) -> list[str]:
    """Only monitoring knows Evidently."""
    return [] if module.package == "monitoring" else module.imports_any("evidently")


def flask_is_the_web_side(module: Module) -> list[str]:
    """Only the kit, controllers and the composition root know Flask."""
    if module.package == "servicekit" or module.layer in {"controller", "app"}:
        return []
    return module.imports_any("flask", "flask_restful", "werkzeug", "flask_sqlalchemy")


def controllers_know_neither_sql_nor_arrays(module: Module) -> list[str]:
    """A controller parses, calls and answers."""
    if module.package not in SERVICES or module.layer != "controller":
        return []
    heavy = ("sqlalchemy", "psycopg2", "numpy", "pandas", "sklearn", "mlflow", "evidently")
    return module.imports_any(*heavy, "schema", f"{module.package}.repository")


def services_know_no_controller(module: Module) -> list[str]:
    """Use cases can be called without HTTP."""
    if module.package not in SERVICES or module.layer != "service":
        return []
    return module.imports_any(f"{module.package}.controller", "psycopg2")


def repositories_know_nobody_above(module: Module) -> list[str]:
    """A repository turns SQL into values."""
    if module.package not in SERVICES or module.layer != "repository":
        return []
    return module.imports_any(f"{module.package}.controller")


def only_use_cases_commit(module: Module) -> list[str]:
    """`transaction()` is the one way to commit, and only the service layer takes it."""
    if module.package == "servicekit":
        return []
    found = [
        f"{node.func.attr}() in line {node.lineno}"
        for node in module.calls()
        if isinstance(node.func, ast.Attribute)
        and (
            node.func.attr == "commit"
            or (node.func.attr == "transaction" and module.layer != "service")
        )
    ]
    # Migrations run outside any service, on a connection of their own.
    return [] if module.package == "schema" else found


def environment_is_read_by_the_settings(module: Module) -> list[str]:
    """`os.environ` is read in one place."""
    if module.package == "servicekit":
        return []
    # Telling a foreign library something by a variable is not reading a setting.
    written = {
        node.value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    return [
        f"os.{node.attr} in line {node.lineno}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and node not in written
        and node.attr in {"environ", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        # A subprocess inherits the environment; handing it on is not reading settings.
        and not (module.package == "tracking" and module.parts[-1].startswith("mlflow"))
    ]


def times_are_aware(module: Module) -> list[str]:
    """No naive clock: `now()` names its zone, `utcnow()` does not exist."""
    return [
        f"{node.func.attr}() in line {node.lineno}"
        for node in module.calls()
        if isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name | ast.Attribute)
        and "datetime" in ast.unparse(node.func.value)
        and (
            node.func.attr in {"utcnow", "utcfromtimestamp", "today"}
            or (node.func.attr == "now" and not node.args and not node.keywords)
            or (node.func.attr == "fromtimestamp" and len(node.args) + len(node.keywords) < 2)
        )
    ]


def no_dumping_ground(module: Module) -> list[str]:
    """A module is named for what it gives."""
    return sorted(DUMPING_GROUNDS & set(module.parts))


def nothing_is_printed(module: Module) -> list[str]:
    """A service logs; only a command line program prints."""
    if module.parts[-1] in {"migrate", "__main__"} or module.package == "postgres":
        return []
    return [
        f"print() in line {node.lineno}"
        for node in module.calls()
        if isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


RULES: tuple[Rule, ...] = (
    no_service_imports_another,
    servicekit_has_no_domain,
    contracts_are_types_only,
    mlflow_stays_out_of,
    evidently_stays_out_of,
    flask_is_the_web_side,
    controllers_know_neither_sql_nor_arrays,
    services_know_no_controller,
    repositories_know_nobody_above,
    only_use_cases_commit,
    environment_is_read_by_the_settings,
    times_are_aware,
    no_dumping_ground,
    nothing_is_printed,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds_everywhere(rule: Rule) -> None:
    broken = {module.name: found for module in modules() if (found := rule(module))}
    assert broken == {}, rule.__doc__


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_has_the_three_layers(service: str) -> None:
    layers = {module.layer for module in modules() if module.package == service}
    assert {"controller", "service", "repository", "app", "settings"} <= layers


@pytest.mark.parametrize(
    ("service", "framework"),
    [("ml_model", "mlflow"), ("tracking", "mlflow"), ("monitoring", "evidently")],
)
def test_a_framework_has_one_adapter(service: str, framework: str) -> None:
    adapters = [
        module.name
        for module in modules()
        if module.package == service and module.imports_any(framework)
    ]
    assert len(adapters) == 1, adapters


@pytest.mark.parametrize(
    ("rule", "source", "parts"),
    [
        (no_service_imports_another, "from tracking.service import x", "simulator.service.a"),
        (servicekit_has_no_domain, "def f():\n    import mlflow.sklearn", "servicekit.a"),
        (flask_is_the_web_side, "from flask import g", "tracking.service.a"),
        (controllers_know_neither_sql_nor_arrays, "import numpy as np", "tracking.controller.a"),
        (only_use_cases_commit, "with db.transaction() as s: pass", "tracking.repository.a"),
        (only_use_cases_commit, "session.commit()", "tracking.service.a"),
        (times_are_aware, "datetime.now()", "tracking.service.a"),
        (times_are_aware, "datetime.datetime.utcnow()", "tracking.service.a"),
        (no_dumping_ground, "", "tracking.utils"),
        (contracts_are_types_only, "import requests", "contracts.a"),
        (environment_is_read_by_the_settings, "os.environ['X']", "tracking.service.a"),
    ],
)
def test_rule_can_fail(rule: Rule, source: str, parts: str) -> None:
    assert rule(Module(tuple(parts.split(".")), ast.parse(source)))
