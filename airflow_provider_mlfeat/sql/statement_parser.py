"""Statements of the feature language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlglot.tokenizer_core import Token, TokenType

from airflow_provider_mlfeat.sql import statements as s
from airflow_provider_mlfeat.sql.constants import constant
from airflow_provider_mlfeat.sql.errors import nearest_name
from airflow_provider_mlfeat.sql.options import (
    DEPLOY_OPTIONS,
    LOAD_OPTIONS,
    OUTFILE_OPTIONS,
    VARIABLES,
    Option,
    Value,
    check_option,
)
from airflow_provider_mlfeat.sql.table_parser import TableParser
from airflow_provider_mlfeat.sql.types import TYPE_NAMES

_COMPARISONS = {
    TokenType.EQ: "=",
    TokenType.LT: "<",
    TokenType.LTE: "<=",
    TokenType.GT: ">",
    TokenType.GTE: ">=",
}


class StatementParser(TableParser):
    """Parses one statement at a time."""

    def statement(self, tokens: list[Token], text: str) -> s.Statement:
        """The statement of `tokens`, which are all tokens of a statement of `text`."""
        self.reset()
        self.sql, self._chunks, self.placeholders = text, [tokens], 0
        self._advance_chunk()
        first = self._curr
        parsed = self._any_statement()
        if self._curr:
            self.expected("the end of the statement")
        words = text[first.start : self._prev.end + 1]
        return replace(parsed, text=words, position=self.position(first, first))

    def _any_statement(self) -> s.Statement:
        if self.at_query():
            return self._select_statement()
        handlers: dict[str, Callable[[], s.Statement]] = {
            "CREATE": self._create,
            "DROP": self._drop,
            "USE": lambda: s.UseDatabase(self.name("a database").name),
            "SHOW": self._show,
            "DESC": lambda: s.DescribeTable(self.stored_table()),
            "DESCRIBE": lambda: s.DescribeTable(self.stored_table()),
            "TRUNCATE": self._truncate,
            "INSERT": self._insert,
            "DELETE": self._delete,
            "LOAD": self._load,
            "DEPLOY": self._deploy,
            "ROLLBACK": self._rollback,
            "STOP": self._stop,
            "SET": self._set,
        }
        word = self._curr.text.upper() if self.at(TokenType.VAR) else ""
        if word not in handlers:
            self.fail(
                f"'{self.text_of(self._curr)}' begins no statement", nearest_name(word, ["SELECT", "WITH", *handlers])
            )
        self._advance()
        return handlers[word]()

    # ── queries ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _query(self) -> s.Query:
        first = self._curr
        if not self.at_query():
            self.expected("SELECT")
        tree = self.outer_query()
        return s.Query(self.sql[first.start : self._prev.end + 1], self.sql, tree)

    def _select_statement(self) -> s.Statement:
        query = self._query()
        if not self.take_word("INTO"):
            return s.Select(query)
        self.need_word("OUTFILE")
        path = self.string("the path of a directory")
        return s.SelectInto(query, path, self._options(OUTFILE_OPTIONS, "option of INTO OUTFILE"))

    def _deploy(self) -> s.Statement:
        if_not_exists = self.if_not_exists()
        name = self.name("the deployment's name").name
        options = self._options(DEPLOY_OPTIONS, "option of DEPLOY")
        return s.Deploy(name, self._query(), options, if_not_exists)

    def _rollback(self) -> s.Statement:
        self.need_word("DEPLOYMENT")
        name = self.name("the deployment's name").name
        version = self.whole_number("a version") if self.take_word("TO") else None
        return s.RollbackDeployment(name, version)

    # ── options and constants ───────────────────────────────────────────────────────────────────────────────────────

    def _options(self, known: Mapping[str, Option], what: str) -> dict[str, Value]:
        """``[OPTIONS (name = value, …)]``."""
        if not self.take_word("OPTIONS"):
            return {}
        options: dict[str, Value] = {}
        self.need(TokenType.L_PAREN, "(")
        while not self.at(TokenType.R_PAREN):
            first = self._curr
            name = self.name("the name of an option").name
            self.need(TokenType.EQ, "=")
            value = self._option_value()
            key, value = check_option(known, name, value, what, self.position(first, self._prev))
            if key in options:
                self.fail(f"{what} '{key}' stands here twice", position=self.position(first, first))
            options[key] = value
            if not self._match(TokenType.COMMA):
                break
        self.need(TokenType.R_PAREN, ")")
        return options

    def _option_value(self) -> Value:
        """A string, a word, a number or a time like ``10d``."""
        if self._curr.token_type in (TokenType.STRING, TokenType.VAR):
            is_word, text = self.at(TokenType.VAR), self._curr.text
            self.marks.names.add(self._curr.start)
            self._advance()
            truth = {"true": True, "false": False}.get(text.lower())
            return truth if truth is not None and is_word else text
        first = self._curr
        if first.token_type is not TokenType.NUMBER or not first.text.isdigit():
            self.expected("a value")
        self._advance()
        if self._is_connected() and self.at(TokenType.VAR):
            self._advance()
            return self.sql[first.start : self._prev.end + 1]
        return int(first.text)

    def _constant(self) -> s.Constant:
        position, node = self.here(), self.operand()
        if node.key == "anonymous" and node.name.lower() in TYPE_NAMES and len(node.expressions) == 1:
            node = node.expressions[0]
        value = constant(node)
        if value is None and node.key != "null":
            self.fail("expected a constant", position=position)
        return value

    # ── databases and tables ────────────────────────────────────────────────────────────────────────────────────────

    def _create(self) -> s.Statement:
        if self.take_word("TABLE"):
            return self.create_table()
        if self.take_word("DATABASE"):
            if_not_exists = self.if_not_exists()
            return s.CreateDatabase(self.name("a database").name, if_not_exists)
        if self.take_word("INDEX"):
            name = self.name("the index's name").name
            self.need_word("ON")
            table = self.stored_table()
            keys = tuple(key.name for key in self.parenthesised(lambda: self.name("a column")))
            options = self.index_options() if self.take_word("OPTIONS") else {}
            return s.CreateIndex(table, self.index(name, keys, options))
        return self.expected("TABLE, DATABASE or INDEX")

    def _drop(self) -> s.Statement:
        if self.take_word("TABLE"):
            if_exists = self.take_word("IF", "EXISTS")
            return s.DropTable(self.stored_table(), if_exists)
        if self.take_word("DATABASE"):
            if_exists = self.take_word("IF", "EXISTS")
            return s.DropDatabase(self.name("a database").name, if_exists)
        if self.take_word("DEPLOYMENT"):
            if_exists = self.take_word("IF", "EXISTS")
            return s.DropDeployment(self.name("the deployment's name").name, if_exists)
        if self.take_word("INDEX"):
            parts = [self.name("a table").name]
            while self._match(TokenType.DOT):
                parts.append(self.name("an index", reserved=True).name)
            if len(parts) not in (2, 3):
                self.fail("expected table.index or database.table.index")
            return s.DropIndex(s.TableName(parts[-2], parts[0] if len(parts) == 3 else ""), parts[-1])
        return self.expected("TABLE, DATABASE, INDEX or DEPLOYMENT")

    def _truncate(self) -> s.Statement:
        self.need_word("TABLE")
        return s.TruncateTable(self.stored_table())

    # ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _insert(self) -> s.Statement:
        ignore = self.take_word("OR", "IGNORE") or self.take_word("IGNORE")
        self.need_word("INTO")
        table = self.stored_table()
        columns: tuple[str, ...] = ()
        if self.at(TokenType.L_PAREN):
            columns = tuple(column.name for column in self.parenthesised(lambda: self.name("a column")))
        self.need_word("VALUES")
        rows = [self._row(len(columns))]
        while self._match(TokenType.COMMA):
            rows.append(self._row(len(columns) or len(rows[0])))
        return s.Insert(table, columns, tuple(rows), ignore)

    def _row(self, width: int) -> tuple[s.Constant, ...]:
        position = self.here()
        row = tuple(self.parenthesised(self._constant))
        if width and len(row) != width:
            self.fail(f"expected {width} values, found {len(row)}", position=position)
        return row

    def _delete(self) -> s.Statement:
        self.need_word("FROM")
        table = self.stored_table()
        self.need_word("WHERE")
        conditions = [self._key_condition()]
        while self.take_word("AND"):
            conditions.append(self._key_condition())
        return s.Delete(table, tuple(conditions))

    def _key_condition(self) -> tuple[str, str, s.Constant]:
        column = self.name("a column").name
        operator = _COMPARISONS.get(self._curr.token_type)
        if operator is None:
            self.expected("=, <, <=, > or >=")
        self._advance()
        return column, operator, self._constant()

    def _load(self) -> s.Statement:
        self.need_word("DATA", "INFILE")
        path = self.string("the path of files")
        self.need_word("INTO", "TABLE")
        return s.LoadData(path, self.stored_table(), self._options(LOAD_OPTIONS, "option of LOAD DATA"))

    # ── SHOW, jobs and the session ──────────────────────────────────────────────────────────────────────────────────

    def _show(self) -> s.Statement:
        shown: tuple[tuple[tuple[str, ...], Callable[[], s.Statement]], ...] = (
            (("DATABASES",), s.ShowDatabases),
            (("TABLES",), s.ShowTables),
            (("TABLE", "STATUS"), s.ShowTableStatus),
            (("CREATE", "TABLE"), lambda: s.ShowCreateTable(self.stored_table())),
            (("DEPLOYMENTS",), s.ShowDeployments),
            (("DEPLOYMENT",), self._show_deployment),
            (("JOBS",), self._show_jobs),
            (("JOB",), lambda: s.ShowJob(self._job())),
            (("JOBLOG",), lambda: s.ShowJobLog(self._job())),
            (("VARIABLES",), s.ShowVariables),
            (("SESSION", "VARIABLES"), s.ShowVariables),
            (("GLOBAL", "VARIABLES"), lambda: s.ShowVariables(True)),
        )
        for words, statement in shown:
            if self.take_word(*words):
                return statement()
        names = [" ".join(words) for words, _ in shown]
        return self.fail(f"SHOW takes {', '.join(names[:-1])} or {names[-1]}", nearest_name(self._curr.text, names))

    def _show_deployment(self) -> s.Statement:
        name = self.name("the deployment's name").name
        return s.ShowDeployment(name, self.take_word("VERSIONS"))

    def _show_jobs(self) -> s.Statement:
        component = None
        if self.take_word("FROM"):
            if not self.at_any(("TASKMANAGER", "NAMESERVER")):
                self.expected("TASKMANAGER or NAMESERVER")
            self._advance()
            component = self._prev.text.lower()
        return s.ShowJobs(component, self.string("a job's id in quotes") if self.take_word("LIKE") else None)

    def _job(self) -> int:
        return self.whole_number("a job's number")

    def _stop(self) -> s.Statement:
        self.need_word("JOB")
        return s.StopJob(self._job())

    def _set(self) -> s.Statement:
        scope = "session"
        if self._match(TokenType.PARAMETER):
            self.need(TokenType.PARAMETER, "@@")
            self.marks.tight.update((self._prev.start, self._curr.start))
            if self.at_any(("SESSION", "GLOBAL")) and self._next.token_type is TokenType.DOT:
                scope = self.word_as_name().name.lower()
                self._advance()
        elif self.at_any(("SESSION", "GLOBAL")):
            scope = self._curr.text.lower()
            self._advance()
        first = self._curr
        name = self.name("a variable").name
        self.need(TokenType.EQ, "=")
        value = self._option_value()
        key, value = check_option(VARIABLES, name, value, "variable", self.position(first, self._prev))
        return s.SetVariable(key, value, scope == "global")
