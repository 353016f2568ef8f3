"""The commands of ./launch.sh."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from launcher.errors import LaunchError
from launcher.places import ROOT, Places

if TYPE_CHECKING:
    # Only on the way to a command: --help works before a package is installed.
    from launcher.suite import Suite

PROGRAM_NAMES = (
    *("postgres", "mlflow", "simulator", "ml_model", "tracking", "monitoring"),
    *("jobs", "searches"),
)

STAGE_NAMES = ("load", "tune", "train", "evaluate", "monitor")

DESCRIPTION = """\
Cellar: a machine-learning suite in five containers, or as local processes.

  up              start the suite and return when all of it is ready
  demo            start it and walk a wine classifier through its whole life
  test            install the test tools and run every test
  status          what runs where, and in which version
  stage NAME      one part of the lifecycle, for the stages of dvc.yaml (docs/dvc.md)
  logs [SERVICE]  what the services have written
  doctor          look for what is wrong, and say what to do about it
  down            stop the suite; --volumes also removes what it stored
"""

EPILOG = """\
With a Docker engine and compose the suite runs in containers, else as local processes on an
embedded PostgreSQL; --docker and --local decide otherwise. Settings: .env, made on the first start.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    way = argparse.ArgumentParser(add_help=False)
    choice = way.add_mutually_exclusive_group()
    for name, text in (("docker", "in containers"), ("local", "as local processes")):
        choice.add_argument(
            f"--{name}",
            dest="kind",
            action="store_const",
            const=name,
            default=argparse.SUPPRESS,
            help=f"run the suite {text}",
        )
    way.add_argument(
        "--state",
        metavar="FOLDER",
        default=argparse.SUPPRESS,
        help="a second suite beside the first: its .env and all it stores are in FOLDER",
    )
    main_parser = argparse.ArgumentParser(
        prog="./launch.sh",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[way],
    )
    commands = main_parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text.capitalize(), parents=[way])

    up = add("up", "start the suite")
    up.add_argument(
        "--foreground", action="store_true", help="stay, show the logs, stop all on Ctrl-C"
    )
    add("demo", "walk a wine classifier through its whole life")
    test = commands.add_parser(
        "test",
        help="run the tests",
        description="Run ruff, mypy, pytest, newman and the pages in Chromium. Any other argument"
        " goes to pytest, as in: ./launch.sh test unit -k registry",
    )
    test.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="lint, types, unit, docs, integration, contract, e2e, pages, postman, containers;"
        " default: all but containers",
    )
    stage = add("stage", "run one part of the lifecycle, as dvc.yaml does")
    stage.add_argument("stage", choices=STAGE_NAMES, metavar="NAME", help=", ".join(STAGE_NAMES))
    down = add("down", "stop the suite")
    down.add_argument("--volumes", action="store_true", help="remove what it stored as well")
    down.add_argument("--yes", action="store_true", help="do not ask before removing")
    logs = add("logs", "show what the services have written")
    logs.add_argument("service", nargs="?", choices=PROGRAM_NAMES, metavar="SERVICE")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    logs.add_argument("-n", "--lines", type=int, default=50, help="lines of each log (%(default)s)")
    add("status", "show what runs where")
    add("doctor", "look for what is wrong")
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 1 error, 2 wrong call, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # What follows `test` is mostly pytest's; help is ours, and stands before any package is there.
    ours = arguments[: arguments.index("test") + 1] if "test" in arguments else arguments
    wants_help = bool({"-h", "--help"}.intersection(arguments[len(ours) :]))
    known = parser().parse_args([*ours, "--help"] if wants_help else ours)
    # What ends this terminal's session ends us as Ctrl-C does: in order.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    from launcher.terminal import errors

    try:
        if known.command == "test":
            from launcher.tests_command import run_tests

            return run_tests(Places.of(None), arguments[len(ours) :])
        return COMMANDS[known.command](known)
    except LaunchError as error:
        if error.detail:
            errors.print(error.detail, markup=False, style="dim")
        errors.print(str(error), markup=False, style="bold red")
        errors.print(error.advice, markup=False)
        return 1
    except KeyboardInterrupt:
        errors.print("Interrupted.")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`./launch.sh logs | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def suite_for(options: argparse.Namespace) -> "Suite":
    """Return the suite that the options, or else this machine, ask for; makes `.env` if missing.

    Without --docker or --local: the one that runs; else containers where a Docker engine and
    compose are there, else local processes.
    """
    from launcher.docker_suite import DockerSuite, compose_command
    from launcher.env_file import ensure_env_file, read_env_file
    from launcher.local_suite import LocalSuite
    from launcher.suite_settings import SuiteSettings
    from launcher.terminal import console

    kind = getattr(options, "kind", None)
    places = Places.of(getattr(options, "state", None))
    if ensure_env_file(places.env_file, ROOT / ".env.example"):
        console.print(f"Wrote {places.env_file} with passwords of your own")
    settings = SuiteSettings.of(read_env_file(places.env_file))
    local = LocalSuite(settings, places)
    if kind == "local" or (kind is None and places.supervisor_socket.exists()):
        return local
    compose = compose_command()
    if compose is not None:
        return DockerSuite(settings, places, compose)
    if kind == "docker":
        raise LaunchError(
            "No Docker engine with compose (V2, or V1 from 1.29) answers.",
            "Start Docker, or run ./launch.sh --local.",
        )
    return local


def _up(options: argparse.Namespace) -> int:
    suite = suite_for(options)
    suite.up()
    _show_places(suite)
    if options.foreground:
        from launcher.terminal import console

        console.print("Ctrl-C stops the suite.")
        try:
            suite.follow_logs(None, lines=0, follow=True)
        except KeyboardInterrupt:
            # How it is meant to end.
            console.print()
        finally:
            suite.down()
    return 0


def _down(options: argparse.Namespace) -> int:
    suite = suite_for(options)
    if options.volumes and not options.yes and not _agreed(suite):
        raise LaunchError("Nothing was removed, and nothing stopped.", "Say yes, or pass --yes.")
    suite.down(volumes=options.volumes)
    return 0


def _agreed(suite: "Suite") -> bool:
    from launcher.terminal import console

    if not sys.stdin.isatty():
        return False
    console.print("This removes every dataset, model, run and prediction that the suite stored.")
    return console.input("Remove them? [y/N] ").strip().lower() in {"y", "yes"}


def _logs(options: argparse.Namespace) -> int:
    suite_for(options).follow_logs(options.service, lines=options.lines, follow=options.follow)
    return 0


def _status(options: argparse.Namespace) -> int:
    """Exit code 0 when all is ready, 1 when something is not."""
    from rich.table import Table

    from launcher.terminal import console

    suite = suite_for(options)
    with console.status("Asking the services"):
        rows = suite.status()
    table = Table("service", "state", "address", "version", title=f"Cellar ({suite.kind})")
    for row in rows:
        style = "green" if row.is_up else "red"
        table.add_row(row.program, f"[{style}]{row.state}[/]", row.address, row.version)
    console.print(table)
    return 0 if all(row.is_up for row in rows) else 1


def _doctor(options: argparse.Namespace) -> int:
    from launcher.doctor import examine

    return examine(suite_for(options))


def _demo(options: argparse.Namespace) -> int:
    from launcher.demo import run_demo

    return run_demo(suite_for(options))


def _stage(options: argparse.Namespace) -> int:
    from launcher.stages import run_stage

    return run_stage(suite_for(options), options.stage, ROOT)


def _show_places(suite: "Suite") -> None:
    from launcher.terminal import console

    url = suite.settings.url
    console.print(f"MLflow UI {url('mlflow')}   API pages: ", end="")
    console.print(
        " ".join(
            f"{url(name)}/docs" for name in ("simulator", "ml_model", "tracking", "monitoring")
        )
    )


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "demo": _demo,
    "stage": _stage,
    "down": _down,
    "logs": _logs,
    "status": _status,
    "doctor": _doctor,
}
