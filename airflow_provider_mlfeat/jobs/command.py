"""The ``mlfeat`` command.

Sub-commands live beside their capability; this file finds them and maps errors to exit codes: 0 done, 1 our mistake,
2 the user's, 75 may work later, 130 cancelled.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import airflow_provider_mlfeat
from airflow_provider_mlfeat.errors import MissingExtraError, MlfeatError

# name → (module with `register(parser)`, one line of help). Modules load only for the command that is called.
_COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("airflow_provider_mlfeat.jobs.commands.run", "run a job from a spec file"),
    "sql": ("airflow_provider_mlfeat.jobs.commands.sql", "check, explain, format and run feature SQL"),
    "script": ("airflow_provider_mlfeat.jobs.commands.script", "run a SQL script on the tables"),
    "load": ("airflow_provider_mlfeat.jobs.commands.load", "load files into a table"),
    "data": ("airflow_provider_mlfeat.jobs.commands.data", "generate the data of the example pipelines"),
    "tables": ("airflow_provider_mlfeat.jobs.commands.tables", "list, show, restore, vacuum and drop tables"),
    "dataset": ("airflow_provider_mlfeat.jobs.commands.dataset", "build a dataset, or show one"),
    "online": ("airflow_provider_mlfeat.jobs.commands.online", "deploy features, load and look into the online store"),
    "serve": ("airflow_provider_mlfeat.jobs.commands.serve", "answer requests over HTTP"),
    "models": ("airflow_provider_mlfeat.jobs.commands.models", "list, promote, roll back and fetch registered models"),
    "jobs": ("airflow_provider_mlfeat.jobs.commands.jobs", "list the kinds of job, or show one kind's fields"),
    "version": ("airflow_provider_mlfeat.jobs.commands.version", "print version and code version"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser(arguments[:1]).parse_args(arguments)
        code = options.execute(options)
        assert isinstance(code, int)
        return code
    except ModuleNotFoundError as error:
        missing = MissingExtraError("engine", f"'mlfeat {' '.join(arguments[:2])}'", error.name)
        print(f"mlfeat: {missing}", file=sys.stderr)
        return missing.exit_code
    except MlfeatError as error:
        print(f"mlfeat: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("mlfeat: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`mlfeat jobs | head`); keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        traceback.print_exc()
        print("mlfeat: this is a bug; please report it with the lines above", file=sys.stderr)
        return 1


def _parser(called: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlfeat", description="Feature SQL, training, registry and serving jobs, with or without Airflow."
    )
    parser.add_argument("--version", action="version", version=f"mlfeat {airflow_provider_mlfeat.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name in called:
            importlib.import_module(module).register(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
