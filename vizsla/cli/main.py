"""`vizsla`: collects the commands, and turns what goes wrong into one sentence, a cure and an exit code.

Nothing heavy is imported here or at the top of a command's module: `vizsla --help` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from vizsla import __version__
from vizsla.cli import ask, cache, data, debug, demo, export, jobs, models, plan, profile, report, run, train, tune
from vizsla.cli.options import Terminated
from vizsla.errors import VizslaError

app = typer.Typer(
    name="vizsla",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train.train)
app.command()(ask.predict)
app.command()(ask.evaluate)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")
app.command()(tune.tune)
app.command()(run.run)
app.command()(report.report)
app.command()(debug.debug)
app.command()(profile.profile)
app.command()(plan.plan)
app.command()(export.export)
for command in (jobs.ps, jobs.show, jobs.logs, jobs.stop, jobs.rm, jobs.rebuild):
    app.command()(command)
app.command()(models.models)
app.command()(demo.demo)

GREETING = """vizsla {version}: a folder of photos becomes a classifier you can ask.

Three things to do first:

  vizsla demo                          trains on 2,624 photos of solar cells, and asks two of them
  vizsla data check DIR                what is in your folder, and what is bad and why
  vizsla train DIR                     trains on it; DIR holds one folder of photos a class

then

  vizsla predict NAME photo.jpg        asks what came of it

Every command explains itself: vizsla train --help"""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"vizsla {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def greet(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A folder of photos becomes a tuned, debugged, profiled and served image classifier."""
    if context.invoked_subcommand is None:
        typer.echo(GREETING.format(version=__version__))


def main() -> NoReturn:
    """The `vizsla` program."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(standalone_mode=True)
    except VizslaError as error:
        complain(error)
        sys.exit(error.exit_code)
    except Terminated:
        sys.exit(143)
    except BrokenPipeError:  # `vizsla … | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("VIZSLA_DEBUG"):
            raise
        complain(VizslaError(f"vizsla itself failed: {error!r}.", "Run it again with VIZSLA_DEBUG=1 to see where."))
        sys.exit(1)
    sys.exit(0)


def complain(error: VizslaError) -> None:
    """The message and its cure on stderr."""
    from vizsla.console.text import safe

    typer.secho(f"vizsla: {safe(error.message)}", err=True, fg="red" if sys.stderr.isatty() else None)
    if error.hint:
        typer.echo(safe(error.hint), err=True)


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise Terminated
