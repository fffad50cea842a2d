"""The sqlglot dialect ``featuresql``: tokenizer, parser and generator of the feature language."""

from __future__ import annotations

from sqlglot.dialects.dialect import Dialect

from airflow_provider_mlfeat.sql.dialect.generator import FeatureGenerator
from airflow_provider_mlfeat.sql.dialect.query_parser import QueryParser
from airflow_provider_mlfeat.sql.dialect.tokenizer import FeatureTokenizer


class FeatureSql(Dialect):
    """SQL for features: LAST JOIN, windows with UNION and ROWS_RANGE, CONFIG; no function has sqlglot's meaning."""

    NORMALIZE_FUNCTIONS = False
    STRICT_STRING_CONCAT = True
    NUMBERS_CAN_BE_UNDERSCORE_SEPARATED = False
    UNESCAPED_SEQUENCES = {"\\'": "'", '\\"': '"', "\\`": "`"}  # noqa: RUF012

    Tokenizer = FeatureTokenizer
    Parser = QueryParser
    Generator = FeatureGenerator
