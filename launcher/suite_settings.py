"""What `.env` says about the suite, checked, and what each program is given of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from launcher.errors import LaunchError
from launcher.places import Places

SERVICES = ("simulator", "ml_model", "tracking", "monitoring")
PROGRAMS = ("postgres", "mlflow", *SERVICES)

# Run the jobs of the ML service (trainings) and of tracking (searches) beside it, and listen on no
# port.
JOBS = "jobs"
SEARCHES = "searches"
JOB_PROGRAMS = {JOBS: "ml_model.jobs", SEARCHES: "tracking.jobs"}
ALL_PROGRAMS = (*PROGRAMS, *JOB_PROGRAMS)

# Programs that run with the settings, the role and in the container of a service.
SERVICE_OF = {
    **{name: name for name in SERVICES},
    "mlflow": "tracking",
    JOBS: "ml_model",
    SEARCHES: "tracking",
}

DEFAULT_PORTS = {
    "postgres": 5432,
    "mlflow": 5005,
    "simulator": 5004,
    "ml_model": 5001,
    "tracking": 5002,
    "monitoring": 5003,
}

# Given by the launcher to each service, hence of no effect in .env.
OURS = {
    "database_host",
    "database_port",
    "database_user",
    "database_password",
    "database_name",
    "mlflow_database_name",
    "mlflow_port",
    "ml_model_public_port",
    "tracking_public_port",
    "mlflow_public_port",
    "dashboard_port",
    "bind_host",
    "port",
    *(f"{name}_url" for name in (*SERVICES, "mlflow")),
}


def port_variable(program: str) -> str:
    """Return the variable of `.env` that sets a program's port."""
    return f"{program.upper()}_PORT"


def password_variable(service: str) -> str:
    """Return the variable of `.env` with the password of a service's database role."""
    return f"CELLAR_{service.upper()}_DATABASE_PASSWORD"


@dataclass(frozen=True)
class SuiteSettings:
    """The suite as `.env` describes it."""

    bind_address: str
    ports: Mapping[str, int]
    postgres_host: str
    """Empty: the embedded server."""
    postgres_user: str
    variables: Mapping[str, str]
    """All of `.env`."""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "SuiteSettings":
        """Check the variables of `.env`.

        Raises
        ------
        LaunchError
            A port is not one, two programs have the same, or a password is missing or holds a
            character that cannot be handed on. Passwords are never part of the text.
        """
        ports = {program: _port(variables, program) for program in PROGRAMS}
        for program, port in ports.items():
            twins = [other for other in PROGRAMS if ports[other] == port and other != program]
            if twins:
                raise LaunchError(
                    f"{program} and {twins[0]} both have port {port}.",
                    f"Change {port_variable(program)} or {port_variable(twins[0])} in .env.",
                )
        for name in ("POSTGRES_PASSWORD", *map(password_variable, SERVICES)):
            if not variables.get(name):
                raise LaunchError(
                    f"{name} is not set in .env.",
                    "Write a password there, or remove .env to have a new one made.",
                )
        for name, value in variables.items():
            if set(value) & set("\"'\\\n"):
                raise LaunchError(f"{name} in .env holds a quote or a backslash.", "Remove it.")
        return cls(
            bind_address=variables.get("BIND_ADDRESS") or "127.0.0.1",
            ports=ports,
            postgres_host=variables.get("POSTGRES_HOST", ""),
            postgres_user=variables.get("POSTGRES_USER") or "postgres",
            variables=variables,
        )

    @property
    def address(self) -> str:
        """An address of this machine at which the programs answer."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound to, replaced
        return anywhere.get(self.bind_address, self.bind_address)

    @property
    def database_address(self) -> str:
        """Host of PostgreSQL, the embedded or the named one."""
        return self.postgres_host or self.address

    def url(self, program: str) -> str:
        """Return the base URL of a service or of the MLflow server."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.ports[program]}"

    def postgres_environment(self) -> dict[str, str]:
        """Return what `psql` and the set-up script of the databases read."""
        return {
            "PGHOST": self.database_address,
            "PGPORT": str(self.ports["postgres"]),
            "PGUSER": self.postgres_user,
            "PGPASSWORD": self.variables["POSTGRES_PASSWORD"],
            "PGCONNECT_TIMEOUT": "5",
            "POSTGRES_USER": self.postgres_user,
            "POSTGRES_PASSWORD": self.variables["POSTGRES_PASSWORD"],
            **{name: self.variables[name] for name in map(password_variable, SERVICES)},
        }

    def service_environment(self, program: str, places: Places) -> dict[str, str]:
        """Return the `CELLAR_...` variables of a service or of a program beside one; no other's.

        Raises
        ------
        LaunchError
            `.env` has a `CELLAR_...` variable that no service knows.
        """
        service = SERVICE_OF[program]
        known = fields_of(service)
        given = self._further_settings()
        urls = {f"CELLAR_{peer.upper()}_URL": self.url(peer) for peer in (*SERVICES, "mlflow")}
        environment = {
            **{name: value for name, value in given.items() if name in known},
            **urls,
            "CELLAR_BIND_HOST": self.bind_address,
            "CELLAR_PORT": str(self.ports[service]),
            "CELLAR_DATABASE_HOST": self.database_address,
            "CELLAR_DATABASE_PORT": str(self.ports["postgres"]),
            "CELLAR_DATABASE_USER": f"cellar_{service}",
            "CELLAR_DATABASE_PASSWORD": self.variables[password_variable(service)],
        }
        if service == "ml_model":
            environment["CELLAR_DASHBOARD_PORT"] = str(self.ports["monitoring"])
        if service == "tracking":
            environment["CELLAR_MLFLOW_PORT"] = str(self.ports["mlflow"])
            environment.setdefault("CELLAR_MLFLOW_ARTIFACTS", str(places.artifacts))
        return environment

    def _further_settings(self) -> dict[str, str]:
        passwords = set(map(password_variable, SERVICES))
        given = {
            name: value
            for name, value in self.variables.items()
            if name.startswith("CELLAR_") and name not in passwords
        }
        known = {name for service in SERVICES for name in fields_of(service)}
        unknown = sorted(set(given) - known)
        if unknown:
            raise LaunchError(
                f"No service knows {', '.join(unknown)} in .env.",
                "Correct the name; .env.example lists them all.",
            )
        return given


def fields_of(service: str) -> set[str]:
    """Return the variables that may be set for a service in `.env`."""
    settings = import_module(f"{service}.settings").Settings
    return {f"CELLAR_{name.upper()}" for name in settings.model_fields if name not in OURS}


def _port(variables: Mapping[str, str], program: str) -> int:
    name = port_variable(program)
    text = variables.get(name) or str(DEFAULT_PORTS[program])
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise LaunchError(f"{name}={text} in .env is not a port.", "A port is 1 to 65535.")
    return int(text)
