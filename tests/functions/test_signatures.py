"""Which types functions take and give, and how refusals read."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.functions import CATALOGUE
from airflow_provider_mlfeat.sql.functions.casts import check_cast
from airflow_provider_mlfeat.sql.functions.registry import Argument, SignatureError
from airflow_provider_mlfeat.sql.types import DataType, parse_type


def types(text: str) -> list[DataType]:
    """Types that are separated by blanks."""
    return [parse_type(name) for name in text.split()]


ACCEPTED = [
    # function, argument types, what the implementation gets, result
    ("add", "smallint smallint", "smallint smallint", "smallint"),
    ("add", "bool bool", "bool bool", "bool"),
    ("add", "bool smallint", "smallint smallint", "smallint"),
    ("add", "int bigint", "bigint bigint", "bigint"),
    ("add", "bigint float", "float float", "float"),
    ("add", "int double", "double double", "double"),
    ("add", "float double", "double double", "double"),
    ("add", "timestamp timestamp", "timestamp timestamp", "timestamp"),
    ("add", "timestamp bool", "timestamp bigint", "timestamp"),
    ("add", "smallint timestamp", "bigint timestamp", "timestamp"),
    ("add", "null smallint", "smallint smallint", "smallint"),
    ("add", "null null", "bool bool", "bool"),
    ("subtract", "timestamp int", "timestamp bigint", "timestamp"),
    ("divide", "smallint bool", "double double", "double"),
    ("int_divide", "bool bigint", "bigint bigint", "bigint"),
    ("modulo", "null double", "double double", "double"),
    ("negate", "null", "bool", "bool"),
    ("negate", "float", "float", "float"),
    ("bit_and", "smallint bigint", "bigint bigint", "bigint"),
    ("bit_or", "int null", "int int", "int"),
    ("bit_not", "null", "bool", "bool"),
    ("equal", "int double", "double double", "bool"),
    ("equal", "int float", "double double", "bool"),
    ("equal", "float float", "float float", "bool"),
    ("less", "bool smallint", "smallint smallint", "bool"),
    ("less", "string timestamp", "string string", "bool"),
    ("less", "date null", "date date", "bool"),
    ("in", "int int double", "double double double", "bool"),
    ("in", "int string double", "string string string", "bool"),
    ("and", "string date", "string date", "bool"),
    ("not", "null", "bool", "bool"),
    ("case", "bool int bigint", "bool bigint bigint", "bigint"),
    ("case", "bool bigint int float null", "bool double int double double", "double"),
    ("case", "bool date timestamp", "bool string string", "string"),
    ("if_null", "int string", "string string", "string"),
    ("if_null", "bigint float", "double double", "double"),
    ("nvl2", "string int null", "string int int", "int"),
    ("is_null", "list<string>", "list<string>", "bool"),
    ("minimum", "smallint double", "double double", "double"),
    ("abs", "smallint", "int", "int"),
    ("abs", "bool", "double", "double"),
    ("floor", "smallint", "bigint", "bigint"),
    ("floor", "float", "double", "double"),
    ("round", "float smallint", "float bigint", "float"),
    ("sin", "float", "float", "float"),
    ("sin", "bigint", "double", "double"),
    ("pow", "float float", "float float", "float"),
    ("pow", "float int", "double double", "double"),
    ("log", "bool", "double", "double"),
    ("pmod", "smallint int", "int int", "int"),
    ("year", "bigint", "timestamp", "int"),
    ("year", "null", "timestamp", "int"),
    ("last_day", "date", "date", "date"),
    ("concat", "int date string", "string string string", "string"),
    ("substr", "string int smallint", "string bigint bigint", "string"),
    ("like", "string string", "string string", "bool"),
    ("hash64", "date", "date", "bigint"),
    ("array", "int bigint", "bigint bigint", "array<bigint>"),
    ("array", "", "", "array<null>"),
    ("map", "int string bigint string", "bigint string bigint string", "map<bigint,string>"),
    ("subscript", "map<bigint,string> int", "map<bigint,string> bigint", "string"),
    ("array_contains", "array<int> bigint", "array<bigint> bigint", "bool"),
    ("isin", "null array<string>", "string array<string>", "bool"),
    ("array_combine", "string array<int> array<string>", "string array<string> array<string>", "array<string>"),
    ("at", "list<string> int", "list<string> bigint", "string"),
    ("size", "map<int,int>", "map<int,int>", "int"),
    ("discrete", "string int", "string bigint", "feature<string>"),
    ("csv", "", "", "string"),
    ("csv", "feature<int> feature<double>", "feature<int> feature<double>", "string"),
    ("int", "date", "date", "int"),
    ("timestamp", "bool", "bool", "timestamp"),
]


@pytest.mark.parametrize(("name", "given", "taken", "result"), ACCEPTED)
def test_accepted(name: str, given: str, taken: str, result: str) -> None:
    resolved = CATALOGUE.scalars[name].resolve([Argument(data_type) for data_type in types(given)])
    assert resolved.arguments == tuple(types(taken))
    assert resolved.result == parse_type(result)


NUMERIC = "a - b: the operands must be numbers or bools, or a timestamp and a whole number or bool"
REFUSED = [
    ("add", "int string", "a + b: the operands must be numbers or bools, or a timestamp and a timestamp, whole number "
     "or bool, not int and string"),
    ("add", "timestamp double", "a + b: the operands must be numbers or bools, or a timestamp and a timestamp, whole "
     "number or bool, not timestamp and double"),
    ("subtract", "timestamp timestamp", f"{NUMERIC}, not timestamp and timestamp"),
    ("subtract", "int timestamp", f"{NUMERIC}, not int and timestamp"),
    ("multiply", "int date", "a * b: the operands must be numbers or bools, not int and date"),
    ("divide", "string bool", "a / b: the operands must be numbers or bools, not string and bool"),
    ("int_divide", "int float", "a DIV b: the operands must be whole numbers or bools, not int and float"),
    ("modulo", "timestamp int", "a % b: the operands must be numbers or bools, not timestamp and int"),
    ("negate", "string", "-a: the operand must be a number or bool, not string"),
    ("bit_and", "int bool", "a & b: operand 2 must be a whole number, not bool"),
    ("bit_not", "double", "~a: the operand must be a whole number, not double"),
    ("equal", "int date", "a = b: int cannot be compared with date; numbers compare with numbers, "
     "strings with anything"),
    ("less", "bool timestamp", "a < b: bool cannot be compared with timestamp; numbers compare with numbers, strings "
     "with anything"),
    ("in", "int date", "x IN (a, …): int cannot be compared with date; numbers compare with numbers, strings with "
     "anything"),
    ("and", "bool list<string>", "a AND b: argument 2 must be a value of a base type, not list<string>"),
    ("like", "int string", "s LIKE p [ESCAPE e]: argument 1 must be a string, not int"),
    ("like", "string null", "s LIKE p [ESCAPE e]: the pattern must be a string, not an untyped NULL"),
    ("ilike_match", "string string null",
     "ilike_match(s, p[, escape]): the escape must be a string, not an untyped NULL"),
    ("case", "bool list<string> int", "CASE WHEN c THEN v … ELSE d END: list<string> and int have no common type"),
    ("case", "bool int", "CASE WHEN c THEN v … ELSE d END: takes at least 3 arguments, not 2"),
    ("case", "bool int bool int",
     "CASE WHEN c THEN v … ELSE d END: takes pairs of a condition and a value, and a default"),
    ("minimum", "int string", "minimum(a, b): the arguments must be of one type, not int and string"),
    ("maximum", "bool bool", "maximum(a, b): argument 1 must be a number, string, date or timestamp, not bool"),
    ("date", "int", "date(x): int cannot be cast to date"),
    ("string", "list<string>", "string(x): list<string> cannot be cast to string"),
    ("sqrt", "bool", "sqrt(x): the argument must be a number, not bool"),
    ("ceil", "string", "ceil(x): the argument must be a number or bool, not string"),
    ("round", "bool", "round(x[, d]): the argument must be a number, not bool"),
    ("pow", "string string", "pow(x, y): argument 1 must be a number or bool, not string"),
    ("year", "int", "year(x): the argument must be a timestamp, date or bigint, not int"),
    ("minute", "date", "minute(x): the argument must be a timestamp or bigint, not date"),
    ("date_format", "bigint string", "date_format(x, format): argument 1 must be a timestamp or date, not bigint"),
    ("add_months", "timestamp int", "add_months(d, n): argument 1 must be a date, not timestamp"),
    ("strcmp", "string int", "strcmp(a, b): argument 2 must be a string, not int"),
    ("substr", "timestamp int", "substr(s, pos[, len]): argument 1 must be a string, not timestamp"),
    ("substr", "string", "substr(s, pos[, len]): takes 2 to 3 arguments, not 1"),
    ("concat", "", "concat(a, …): takes at least 1 argument, not 0"),
    ("reverse", "string string", "reverse(s): takes 1 argument, not 2"),
    ("array_combine", "string", "array_combine(d, a1, …): takes at least 2 arguments, not 1"),
    ("array_contains", "string int", "array_contains(array, x): argument 1 must be an array, not string"),
    ("isin", "string array<int>", "isin(x, array): an array of int cannot hold a string"),
    ("map", "int", "map(k, v, …): takes pairs of a key and a value, not 1 arguments"),
    ("map_keys", "int", "map_keys(m): the argument must be a map, not int"),
    ("subscript", "list<string> int", "m[key]: the value before the brackets must be a map, not list<string>"),
    ("subscript", "map<int,int> string", "m[key]: the key must be of type int, not string"),
    ("at", "string int", "at(list, i): argument 1 must be a list or array, not string"),
    ("size", "string", "size(list): the argument must be a list, array or map, not string"),
    ("discrete", "double",
     "discrete(x[, buckets]): the argument must be a bool, whole number, string, date or timestamp, "
     "not double"),
    ("binary_label", "int", "binary_label(x): the argument must be a bool, not int"),
    ("csv", "int", "csv(…): the argument must be a feature signature such as continuous(x), not int"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "message"), REFUSED)
def test_refused(name: str, given: str, message: str) -> None:
    with pytest.raises(SignatureError) as refusal:
        CATALOGUE.scalars[name].resolve([Argument(data_type) for data_type in types(given)])
    assert str(refusal.value) == message


def test_an_escape_is_one_character() -> None:
    escape = Argument(parse_type("string"), True, "<>")
    text = Argument(parse_type("string"))
    with pytest.raises(SignatureError, match="the escape must be one character or empty"):
        CATALOGUE.scalars["like"].resolve([text, text, escape])
    for allowed in ("", "<", None):
        CATALOGUE.scalars["like"].resolve([text, text, Argument(parse_type("string"), True, allowed)])


AGGREGATES_ACCEPTED = [
    ("sum", "smallint", "smallint", "smallint"),
    ("sum", "timestamp", "timestamp", "timestamp"),
    ("sum", "null", "int", "int"),
    ("avg", "float", "float", "double"),
    ("min", "string", "string", "string"),
    ("max", "list<string>", "list<string>", "string"),
    ("count", "", "", "bigint"),
    ("count", "list<string>", "list<string>", "bigint"),
    ("distinct_count", "bool", "bool", "bigint"),
    ("entropy", "date", "date", "double"),
    ("ew_avg", "int float", "int double", "double"),
    ("count_where", "bool", "bool", "bigint"),
    ("count_where", "date bool", "date bool", "bigint"),
    ("sum_where", "float bool", "float bool", "float"),
    ("avg_where", "int null", "int bool", "double"),
    ("top1_ratio", "list<string>", "list<string>", "double"),
    ("topn_frequency", "date int", "date int", "string"),
    ("count_cate", "bool date", "bool date", "string"),
    ("sum_cate_where", "int bool string", "int bool string", "string"),
    ("top_n_key_ratio_cate", "bool bool int int", "bool bool int int", "string"),
    ("lag", "string int", "string int", "string"),
    ("first_value", "date bool", "date bool", "date"),
    ("nth_value_where", "int int bool", "int int bool", "int"),
    ("window_split_by_key", "string string string", "string string string", "list<string>"),
]


@pytest.mark.parametrize(("name", "given", "taken", "result"), AGGREGATES_ACCEPTED)
def test_aggregates_accepted(name: str, given: str, taken: str, result: str) -> None:
    resolved = CATALOGUE.aggregates[name].resolve([Argument(data_type, True, 1) for data_type in types(given)])
    assert resolved.arguments == tuple(types(taken))
    assert resolved.result == parse_type(result)


AGGREGATES_REFUSED = [
    ("sum", "string", "sum(v): the argument must be a number or timestamp, not string"),
    ("sum", "list<string>", "sum(v): the argument must be a number or timestamp, not string"),
    ("avg", "timestamp", "avg(v): the argument must be a number, not timestamp"),
    ("min", "bool", "min(v): the argument must be a number, date, timestamp or string, not bool"),
    ("sum_where", "date bool", "sum_where(v, c): argument 1 must be a number, not date"),
    ("max_where", "int int", "max_where(v, c): argument 2 must be a bool, not int"),
    ("avg_cate", "int double", "avg_cate(v, key): argument 2 must be a whole number, date, timestamp or string, "
     "not double"),
    ("min_cate", "string int", "min_cate(v, key): argument 1 must be a number, not string"),
    ("count_cate", "int bool", "count_cate(v, key): argument 2 must be a whole number, date, timestamp or string, "
     "not bool"),
    ("top_n_key_sum_cate_where", "date bool int int", "top_n_key_sum_cate_where(v, c, key, n): argument 1 must be a "
     "number, not date"),
    ("topn_frequency", "bool int", "topn_frequency(v, n): argument 1 must be a number, date, timestamp or string, "
     "not bool"),
    ("count", "int int", "count(v) or count(*): takes 0 to 1 argument, not 2"),
    ("window_split", "int string", "window_split(s, d): argument 1 must be a string, not int"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "message"), AGGREGATES_REFUSED)
def test_aggregates_refused(name: str, given: str, message: str) -> None:
    with pytest.raises(SignatureError) as refusal:
        CATALOGUE.aggregates[name].resolve([Argument(data_type, True, 1) for data_type in types(given)])
    assert str(refusal.value) == message


def test_numbers_that_have_to_be_constants() -> None:
    value, number = Argument(parse_type("int")), Argument(parse_type("int"))
    for name in ("lag", "topn_frequency", "top"):
        with pytest.raises(SignatureError, match="argument 2 must be a constant"):
            CATALOGUE.aggregates[name].resolve([value, number])
    with pytest.raises(SignatureError, match="argument 2 must be a constant of at least 0"):
        CATALOGUE.aggregates["lag"].resolve([value, Argument(parse_type("int"), True, -1)])
    with pytest.raises(SignatureError, match="argument 2 must be a constant of at least 0"):
        CATALOGUE.aggregates["lag"].resolve([value, Argument(parse_type("null"), True, None)])


def test_casts_that_exist() -> None:
    base = types("bool smallint int bigint float double string date timestamp")
    numbers = types("bool smallint int bigint float double")
    for source in base:
        for target in base:
            if source in numbers and target == parse_type("date"):
                with pytest.raises(SignatureError, match=f"{source} cannot be cast to date"):
                    check_cast(source, target)
            else:
                check_cast(source, target)
    check_cast(parse_type("null"), parse_type("map<int,string>"))
    check_cast(parse_type("map<null,null>"), parse_type("map<int,string>"))
    check_cast(parse_type("array<int>"), parse_type("array<string>"))
    for source, target in (("array<int>", "string"), ("array<int>", "array<date>"), ("int", "list<string>")):
        with pytest.raises(SignatureError):
            check_cast(parse_type(source), parse_type(target))
