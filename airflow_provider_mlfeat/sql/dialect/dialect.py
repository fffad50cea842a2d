"""The sqlglot dialect ``featuresql``: tokenizer, parser and generator of the feature language."""

from __future__ import annotations

from sqlglot import tokenizer_core
from sqlglot.dialects.dialect import Dialect

from airflow_provider_mlfeat.sql.dialect.generator import FeatureGenerator
from airflow_provider_mlfeat.sql.dialect.query_parser import QueryParser
from airflow_provider_mlfeat.sql.dialect.tokenizer import FeatureTokenizer


def check_sqlglot_build(core_file: str | None) -> None:
    """Refuse sqlglot's compiled build, whose classes do not call what a dialect overrides.

    :param core_file: the file that sqlglot's tokenizer was loaded from.
    """
    if core_file is not None and not core_file.endswith((".py", ".pyc")):
        raise ImportError(
            "The compiled build of sqlglot (package 'sqlglotc') does not run custom dialects: "
            "uninstall sqlglotc and reinstall sqlglot."
        )


check_sqlglot_build(tokenizer_core.__file__)


class FeatureSql(Dialect):
    """SQL for features: LAST JOIN, windows with UNION and ROWS_RANGE, CONFIG; no function has sqlglot's meaning."""

    NORMALIZE_FUNCTIONS = False
    STRICT_STRING_CONCAT = True
    NUMBERS_CAN_BE_UNDERSCORE_SEPARATED = False
    UNESCAPED_SEQUENCES = {"\\'": "'", '\\"': '"', "\\`": "`"}  # noqa: RUF012

    tokenizer_class = FeatureTokenizer
    Tokenizer = FeatureTokenizer
    Parser = QueryParser
    Generator = FeatureGenerator
