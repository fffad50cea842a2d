"""A group of built-in functions: one section of the reference, one module of implementations."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_mlfeat.sql.functions.registry import (
    CATALOGUE,
    AggregateFunction,
    Argument,
    Form,
    NullRule,
    Resolver,
    ScalarFunction,
    Signature,
    SignatureError,
)

IMPLEMENTATIONS = "airflow_provider_mlfeat.engine.functions"
KERNELS = "airflow_provider_mlfeat.engine.kernels.aggregates"


def named(usage: str, resolve: Resolver) -> Resolver:
    """The resolver, with the form of the call in front of its complaints."""

    def resolver(arguments: Sequence[Argument]) -> Signature:
        try:
            return resolve(arguments)
        except SignatureError as error:
            raise SignatureError(f"{usage}: {error}") from None

    return resolver


@dataclass(frozen=True, slots=True)
class Group:
    """Defines functions into the catalogue.

    :param title: the section of the reference.
    :param module: the module of ``engine.functions`` that holds the implementations.
    """

    title: str
    module: str

    def scalar(
        self,
        name: str,
        usage: str,
        resolve: Resolver,
        doc: str,
        *,
        form: Form = Form.ARRAY,
        own_nulls: bool = False,
        implementation: str | None = None,
        aliases: tuple[str, ...] = (),
    ) -> None:
        """Define a scalar function; its implementation has its name unless another is given."""
        attribute = implementation or (f"{name}_" if keyword.iskeyword(name) else name)
        CATALOGUE.add(
            ScalarFunction(
                name=name,
                resolve=named(usage, resolve),
                implementation=f"{IMPLEMENTATIONS}.{self.module}:{attribute}",
                form=form,
                null_rule=NullRule.OWN if own_nulls else NullRule.PROPAGATE,
                doc=doc,
                usage=usage,
                aliases=aliases,
                group=self.title,
            )
        )

    def aggregate(
        self,
        name: str,
        usage: str,
        resolve: Resolver,
        doc: str,
        *,
        nulls: str = "NULL values are skipped",
        empty: str = "NULL",
        aliases: tuple[str, ...] = (),
        needs_window: bool = False,
    ) -> None:
        """Define an aggregate; the engine's kernel of its name computes it."""
        CATALOGUE.add(
            AggregateFunction(
                name=name,
                resolve=named(usage, resolve),
                implementation=f"{KERNELS}:{name}",
                null_rule=nulls,
                empty=empty,
                doc=doc,
                usage=usage,
                aliases=aliases,
                needs_window=needs_window,
                group=self.title,
            )
        )
