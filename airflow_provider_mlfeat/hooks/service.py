"""What the four hooks share: settings that are parsed once, and a test that answers in one sentence."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException
from airflow.sdk.log import mask_secret

from airflow_provider_mlfeat.errors import MlfeatError
from airflow_provider_mlfeat.hooks.fields import ConnectionFields


class Settings(Protocol):
    """What a connection says. It knows its secrets, and its text never shows them."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must not appear in a log or a message."""


SettingsType = TypeVar("SettingsType", bound=Settings)


class ServiceHook(BaseHook, Generic[SettingsType]):
    """A hook on one service, reached through one connection.

    :param connection_id: the connection.
    """

    conn_name_attr: ClassVar[str]
    default_conn_name: ClassVar[str]
    conn_type: ClassVar[str]
    hook_name: ClassVar[str]

    def __init__(self, connection_id: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.connection_id = connection_id

    @cached_property
    def settings(self) -> SettingsType:
        """What the connection says, parsed once; its secrets are masked in every log from then on."""
        settings = self._parse(ConnectionFields(self.get_connection(self.connection_id), self.conn_type))
        for secret in _spellings(settings):
            mask_secret(secret)
        return settings

    def test_connection(self) -> tuple[bool, str]:
        """Talk to the service: whether it can be used, and one sentence on what it is or what is wrong."""
        try:
            return True, self._check()
        except (MlfeatError, AirflowException) as error:
            return False, self._without_secrets(str(error))
        except ModuleNotFoundError as error:
            return False, f"this machine lacks the Python package '{error.name}', which the connection needs"
        except Exception as error:  # noqa: BLE001  # whatever it is, the form shows a sentence
            return False, self._without_secrets(f"unexpected {type(error).__name__}: {error}")

    @abstractmethod
    def _parse(self, fields: ConnectionFields) -> SettingsType:
        """The settings in the connection's fields."""

    @abstractmethod
    def _check(self) -> str:
        """Talk to the service and say in one sentence what answered; raise what is wrong."""

    def _without_secrets(self, text: str) -> str:
        settings = self.__dict__.get("settings")
        for secret in _spellings(settings) if settings else ():
            text = text.replace(secret, "***")
        return text


def _spellings(settings: Settings) -> list[str]:
    """The secrets as they may stand in a text: as they are, and as part of a URI; the longest first."""
    there = [secret for secret in settings.secrets if secret]
    return sorted({*there, *(quote(secret, safe="") for secret in there)}, key=len, reverse=True)
