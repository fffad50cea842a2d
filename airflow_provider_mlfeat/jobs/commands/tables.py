"""``mlfeat tables``: what tables there are, their versions, and what can be done to them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from airflow_provider_mlfeat.errors import UserError
from airflow_provider_mlfeat.jobs.commands.storage import add_storage_arguments, parse_pairs


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    commands = parser.add_subparsers(metavar="ACTION", required=True)
    for name, execute, summary in (
        ("list", _list, "list the tables with version, rows and time of the last change"),
        ("show", _show, "show a table's columns and indexes, its version and the beginning of its rows"),
        ("versions", _versions, "list the versions of a table, the newest first"),
        ("restore", _restore, "make an older version current again, as a new one"),
        ("vacuum", _vacuum, "delete files that only old versions need"),
        ("drop", _drop, "drop a table with all its versions"),
    ):
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        command.set_defaults(execute=execute)
        if name == "list":
            command.add_argument("--database", help="only the tables of this database")
        else:
            command.add_argument("table", metavar="TABLE", help="TABLE or DATABASE.TABLE")
        add_storage_arguments(command)
        if name == "show":
            command.add_argument("--version", type=int, metavar="N", help="which version; the default is the newest")
            command.add_argument("--rows", type=int, default=10, metavar="N", help="how many rows to show")
        if name == "restore":
            command.add_argument("version", type=int, metavar="VERSION", help="the version to go back to")
        if name == "vacuum":
            command.add_argument(
                "--retention-hours", type=int, default=168, metavar="N", help="how long dropped files stay"
            )
            command.add_argument("--dry-run", action="store_true", help="only list the files")
        if name == "drop":
            command.add_argument("--yes", action="store_true", help="really: a dropped table is gone")


def _list(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.tables.display import text_table
    from airflow_provider_mlfeat.tables.definitions import load_catalog
    from airflow_provider_mlfeat.tables.versions import current

    store = _store(options)
    catalog = load_catalog(store)
    if options.database is not None:
        catalog.resolve_database(options.database)
    rows = []
    for table in catalog.tables(options.database):
        version = current(store, table.database, table.name)
        rows.append([table.qualified_name, version.version, version.rows, _time(version.committed_at)])
    print(text_table(["table", "version", "rows", "changed"], rows) if rows else f"no tables in {store.root}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.tables.display import text_table
    from airflow_provider_mlfeat.jobs.tables.showing import describe_table
    from airflow_provider_mlfeat.tables.definitions import read_definition
    from airflow_provider_mlfeat.tables.versions import describe, read

    store, (database, table) = _store(options), _name(options)
    version = describe(store, database, table, options.version)
    print(describe_table(read_definition(store, database, table, version.version)))
    print(f"\nversion {version.version} of {_time(version.committed_at)}, {version.rows} rows, {version.fingerprint}")
    if options.rows > 0 and version.rows:
        head = read(store, database, table, version.version).head(options.rows)
        print("\n" + text_table(head.column_names, [list(row.values()) for row in head.to_pylist()]))
    return 0


def _versions(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.jobs.tables.display import text_table
    from airflow_provider_mlfeat.tables.versions import history

    changes = history(_store(options), *_name(options))
    rows = [[one.version, _time(one.committed_at), one.operation, _details(one.details)] for one in changes]
    print(text_table(["version", "made", "by", "notes"], rows))
    return 0


def _restore(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.tables.versions import current, restore

    if current(_store(options), *_name(options)).version == options.version:
        print(f"{options.table} is at version {options.version} already; nothing was changed")
        return 0
    made = restore(_store(options), *_name(options), options.version)
    print(f"{options.table} is at version {made.version} with the {made.rows} rows of version {options.version}")
    return 0


def _vacuum(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.tables.versions import vacuum

    gone = vacuum(_store(options), *_name(options), options.retention_hours, options.dry_run)
    for name in gone:
        print(name)
    print(f"{len(gone)} files {'would be ' if options.dry_run else ''}deleted")
    return 0


def _drop(options: argparse.Namespace) -> int:
    from airflow_provider_mlfeat.tables.definitions import drop
    from airflow_provider_mlfeat.tables.versions import current

    store, (database, table) = _store(options), _name(options)
    rows = current(store, database, table).rows
    if not options.yes:
        raise UserError(f"dropping '{options.table}' deletes its {rows} rows and all its versions: say so with --yes")
    drop(store, database, table)
    print(f"{options.table} dropped")
    return 0


def _store(options: argparse.Namespace) -> Any:
    from airflow_provider_mlfeat.jobs.tables.store import default_root
    from airflow_provider_mlfeat.tables.store import TableStore

    return TableStore(options.root or default_root(), parse_pairs(options.storage, "--storage", "NAME=VALUE"))


def _name(options: argparse.Namespace) -> tuple[str, str]:
    from airflow_provider_mlfeat.jobs.tables.store import split_name

    return split_name(options.table)


def _time(moment: Any) -> str:
    return str(moment.isoformat(sep=" ", timespec="seconds")).removesuffix("+00:00")


def _details(details: Mapping[str, Any]) -> str:
    """What a load or an extraction noted, in a few words."""
    load = details.get("load") or {}
    if load:
        words = [f"{load.get('rows_loaded', '?')} rows loaded"]
        if load.get("rows_rejected"):
            words.append(f"{load['rows_rejected']} in quarantine")
        return ", ".join([*words, f"load {load['load_id']}"] if load.get("load_id") else words)
    return "feature set" if "feature_set" in details else ""
