"""Ethereum accounts of a client, as keystore files (Web3 Secret Storage, version 3) that geth and others read.

An account made without a password is for local development: its file is encrypted with the empty password and a light
key derivation, which keeps nobody out. The file's own directory is private to the user either way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from cli.errors import NotFound, StateDamaged, WrongUse
from cli.files import read_private, write_private
from cli.store import check_name, elsewhere
from core.errors import AuthenticationFailed

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

PASSWORD_VARIABLE = "COCO_PASSWORD"  # noqa: S105 - the name of a variable.
SCRYPT_WORK = 262_144
"""scrypt's N, as geth has it: most of a second on one core."""
_LIGHT_SCRYPT = 2
"""scrypt's N for the empty password."""


@dataclass(frozen=True, slots=True)
class AccountFile:
    """An account's name, its checksummed address, and whether a password protects it."""

    name: str
    address: str
    path: Path
    protected: bool


class Wallet:
    """The accounts in one directory, those of a network when it is named."""

    def __init__(self, directory: Path, network: str | None = None) -> None:
        self.directory = directory
        self._place = "" if network is None else f" on network {network}"

    def names(self) -> list[str]:
        return sorted(file.stem for file in self.directory.glob("*.json")) if self.directory.is_dir() else []

    def find(self, name: str) -> AccountFile:
        """Return the account's public part; raises NotFound, StateDamaged."""
        return _public(name, self._path(name), self._read(name))

    def all(self) -> list[AccountFile]:
        return [self.find(name) for name in self.names()]

    def add(self, name: str, private_key: bytes, password: str) -> AccountFile:
        """Keep a private key (32 bytes); an empty password gives the light encryption.

        Raises WrongUse when the name is taken or the key is none.
        """
        from eth_account import Account  # Slow to import, and most commands need none of it.
        from eth_utils.exceptions import ValidationError

        self._refuse_existing(name)
        try:
            work = SCRYPT_WORK if password else _LIGHT_SCRYPT
            document = Account.encrypt(private_key, password, kdf="scrypt", iterations=work)
        except (ValueError, AssertionError, ValidationError) as error:
            raise WrongUse("that is no private key", hint="It is 32 bytes, as 64 hexadecimal digits.") from error
        path = self._path(name)
        write_private(path, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return _public(name, path, document)

    def unlock(self, name: str, password: str) -> LocalAccount:
        """Decrypt the account; raises AuthenticationFailed for a wrong password."""
        from eth_account import Account

        document = self._read(name)
        try:
            key = Account.decrypt(document, password)
        except ValueError as error:
            if "MAC mismatch" not in str(error):
                raise StateDamaged(
                    f"{self._path(name)} is no keystore: {error}", hint="Restore it from a copy."
                ) from None
            raise AuthenticationFailed(
                f"the password of account {name} is wrong",
                hint=f"Give it at the prompt, by {PASSWORD_VARIABLE}, or in a file (--password-file).",
            ) from None
        except (KeyError, TypeError, AttributeError) as error:
            raise StateDamaged(
                f"{self._path(name)} is no keystore: {error!r}", hint="Restore it from a copy."
            ) from None
        account: LocalAccount = Account.from_key(key)
        return account

    def _path(self, name: str) -> Path:
        return self.directory / f"{check_name('an account', name)}.json"

    def _refuse_existing(self, name: str) -> None:
        if self._path(name).exists():
            raise WrongUse(f"there is an account {name} already{self._place}", hint="Choose another name.")

    def _read(self, name: str) -> dict[str, Any]:
        path = self._path(name)
        data = read_private(path)
        if data is None:
            known = ", ".join(self.names()) or "none"
            raise NotFound(
                f"there is no account {name}{self._place}",
                hint=f"Known: {known}. Make it: coco account new {name}."
                + elsewhere(self.directory.parent, Path(self.directory.name, path.name)),
            )
        return parse_keystore(data, path)


def parse_keystore(data: bytes, path: Path) -> dict[str, Any]:
    """Return a keystore's JSON object; raises StateDamaged."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StateDamaged(f"{path} is damaged: {error}", hint="Restore it from a copy.") from None
    if not isinstance(document, dict) or document.get("version") != 3:
        raise StateDamaged(
            f"{path} is no keystore of version 3",
            hint="Restore it from a copy, or give a file as geth or coco writes it.",
        )
    return document


def _public(name: str, path: Path, document: dict[str, Any]) -> AccountFile:
    from eth_utils.address import is_address, to_checksum_address

    address = document.get("address")
    if not isinstance(address, str) or not is_address(address):
        raise StateDamaged(f"{path} names no address", hint="Restore it from a copy.")
    crypto = document.get("crypto")
    parameters = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    light = isinstance(parameters, dict) and parameters.get("n") == _LIGHT_SCRYPT
    return AccountFile(name, to_checksum_address(address), path, not light)


def new_password(password_file: Path | None, no_password: bool) -> str:
    """Return the password for a new account: from the file, COCO_PASSWORD or a prompt.

    "" only when asked for, by --no-password or a COCO_PASSWORD that is set and empty.
    """
    if no_password:
        if password_file is not None:
            raise WrongUse("--no-password and --password-file exclude each other")
        return ""
    password = _given_password(password_file)
    if password == "" and password_file is None:
        return ""
    if password is None:
        password = str(
            click.prompt("Password for the new account", hide_input=True, confirmation_prompt=True, err=True)
        )
    if not password:
        raise WrongUse("the password is empty", hint="For local development, ask for that: --no-password")
    return password


def funded_password(password_file: Path | None, no_password: bool) -> str:
    """Return the password for accounts made with a network: as new_password, but none where none is given.

    A network whose organisations' keys are all made on one machine is for local use.
    """
    if password_file is None and os.environ.get(PASSWORD_VARIABLE) is None:
        return ""
    return new_password(password_file, no_password)


def known_password(account: AccountFile, password_file: Path | None) -> str:
    """Return the password of an account: none needed, from the file, COCO_PASSWORD or a prompt."""
    if not account.protected:
        return ""
    password = _given_password(password_file)
    if password is None:
        password = str(click.prompt(f"Password of account {account.name}", hide_input=True, err=True))
    return password


def _given_password(password_file: Path | None) -> str | None:
    if password_file is None:
        return os.environ.get(PASSWORD_VARIABLE)
    data = read_private(password_file)
    if data is None:
        raise WrongUse(f"there is no password file {password_file}")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise WrongUse(f"the password file {password_file} is not UTF-8 text") from None
