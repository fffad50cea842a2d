"""Which build of sqlglot is installed."""

from __future__ import annotations

from sqlglot import tokenizer_core


def check_sqlglot_build(core_file: str | None = tokenizer_core.__file__) -> None:
    """Refuse sqlglot's compiled build, whose classes do not call what a dialect overrides.

    :param core_file: the file that sqlglot's tokenizer was loaded from.
    """
    if core_file is not None and not core_file.endswith((".py", ".pyc")):
        raise ImportError(
            "The compiled build of sqlglot (package 'sqlglotc') does not run custom dialects: "
            "uninstall sqlglotc and reinstall sqlglot."
        )
