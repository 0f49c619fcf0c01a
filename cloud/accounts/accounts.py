"""Merchants, their people and the one-time links by which people choose a password."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.accounts.audit import note
from cloud.accounts.errors import AccountRefused
from cloud.accounts.passwords import Passwords
from cloud.accounts.secrets import hash_of, new_secret
from cloud.accounts.viewer import ROLES, Viewer
from cloud.databases.tables import api_tokens, merchants, sessions, sign_in_links, users

LINK_LIFE_MS = 24 * 3_600_000
MERCHANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LOGIN = re.compile(r"[^\s\x00-\x1f]{3,200}")
OPERATOR = "operator"
"""Who acts where a command does: the audit names it so."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who answers for the data of their stores."""

    merchant: str
    name: str
    contact: str = ""
    """Where people write to: it stands on the sign."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who signs in."""

    login: str
    merchant: str
    role: str
    has_password: bool
    language: str | None


class Accounts:
    """``now_ms`` is the clock."""

    def __init__(self, database: Engine, passwords: Passwords, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._passwords = passwords
        self._now_ms = now_ms

    # --- merchants --------------------------------------------------------------------------------------------------

    def add_merchant(self, merchant: Merchant) -> None:
        """Raises AccountRefused."""
        if not MERCHANT_NAME.fullmatch(merchant.merchant):
            raise AccountRefused(
                f"merchant {merchant.merchant!r}: use 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit"
            )
        row = {
            "merchant": merchant.merchant,
            "name": checked_name(merchant.name),
            "contact": checked_contact(merchant.contact),
            "created_ms": self._now_ms(),
        }
        try:
            with self._database.begin() as connection:
                connection.execute(insert(merchants), row)
                self._note(connection, merchant.merchant, "merchant_added", merchant.merchant)
        except IntegrityError as error:
            raise AccountRefused(f"merchant {merchant.merchant!r} is there already") from error

    def merchants(self) -> list[Merchant]:
        """All merchants, for the operator."""
        with self._database.connect() as connection:
            rows = connection.execute(select(merchants).order_by(merchants.c.merchant))
            return [Merchant(row.merchant, row.name, row.contact) for row in rows]

    def merchant_of(self, viewer: Viewer) -> Merchant:
        """The viewer's own merchant."""
        with self._database.connect() as connection:
            row = connection.execute(select(merchants).where(merchants.c.merchant == viewer.merchant)).one()
        return Merchant(row.merchant, row.name, row.contact)

    def change_merchant(self, viewer: Viewer, name: str, contact: str) -> None:
        """Change what the signs say of the viewer's own merchant. Raises AccountRefused."""
        values = {"name": checked_name(name), "contact": checked_contact(contact)}
        with self._database.begin() as connection:
            connection.execute(update(merchants).where(merchants.c.merchant == viewer.merchant).values(**values))
            note(connection, viewer.merchant, viewer.login, self._now_ms(), "merchant_changed", viewer.merchant)

    # --- people -----------------------------------------------------------------------------------------------------

    def add_user(self, login: str, merchant: str, role: str) -> str:
        """Add a person; gives the secret of the link by which they choose a password. Raises AccountRefused."""
        login = login_of(login)
        if not LOGIN.fullmatch(login):
            raise AccountRefused(
                "a name to sign in with has 3 to 200 characters and no space, such as an e-mail address"
            )
        if role not in ROLES:
            raise AccountRefused(f"role {role!r} is unknown; use one of {', '.join(ROLES)}")
        row = {"login": login, "merchant": merchant, "role": role, "created_ms": self._now_ms()}
        with self._database.begin() as connection:
            if connection.execute(select(users.c.login).where(users.c.login == login)).first():
                raise AccountRefused(f"user {login!r} is there already; `ivizone-cloud user reset` makes a new link")
            if not connection.execute(select(merchants.c.merchant).where(merchants.c.merchant == merchant)).first():
                raise AccountRefused(f"merchant {merchant!r} does not exist; `ivizone-cloud merchant ls` lists them")
            connection.execute(insert(users), row)
            self._note(connection, merchant, "user_added", login)
            return make_link(connection, login, self._now_ms())

    def users(self, merchant: str | None = None) -> list[User]:
        """People, for the operator."""
        query = select(users).order_by(users.c.merchant, users.c.login)
        with self._database.connect() as connection:
            rows = connection.execute(query.where(users.c.merchant == merchant) if merchant else query)
            return [User(r.login, r.merchant, r.role, r.password_hash is not None, r.language) for r in rows]

    def colleagues(self, viewer: Viewer) -> list[User]:
        """The people of the viewer's own merchant."""
        return self.users(viewer.merchant)

    def remove_user(self, login: str) -> None:
        """Their sessions, links and tokens end with them. Raises AccountRefused."""
        login = login_of(login)
        with self._database.begin() as connection:
            merchant = self._merchant_of_login(connection, login)
            erase_user(connection, login, merchant, self._now_ms())
            self._note(connection, merchant, "user_removed", login)

    def reset(self, login: str) -> str:
        """A new link to choose a password by; earlier links end. The old password holds until then. Raises AccountRefused."""
        login = login_of(login)
        with self._database.begin() as connection:
            merchant = self._merchant_of_login(connection, login)
            self._note(connection, merchant, "password_reset_begun", login)
            return make_link(connection, login, self._now_ms())

    def set_language(self, viewer: Viewer, language: str) -> None:
        """Remember the language of a person."""
        with self._database.begin() as connection:
            connection.execute(update(users).where(users.c.login == viewer.login).values(language=language))

    # --- passwords --------------------------------------------------------------------------------------------------

    def has_signed_in_with(self, login: str, password: str) -> bool:
        """True where this is the person's password. Takes as long for a stranger."""
        with self._database.connect() as connection:
            query = select(users.c.password_hash).where(users.c.login == login_of(login))
            kept = connection.execute(query).scalar_one_or_none()
        return self._passwords.fits(kept, password)

    def link_login(self, secret: str) -> str | None:
        """Whose link this is, None where it is unknown, used or expired."""
        with self._database.connect() as connection:
            return connection.execute(self._open_link(secret)).scalar_one_or_none()

    def spend_link(self, secret: str, password: str) -> str:
        """Set the password of the link's person, once; every session of theirs ends. Gives who it is. Raises AccountRefused."""
        login = self.link_login(secret)
        if login is None:
            raise AccountRefused("the link is used, expired or unknown; ask for a new one")
        kept = self._passwords.hash(password, login)
        mine = sign_in_links.c.link_hash == hash_of(secret)
        with self._database.begin() as connection:
            spent = connection.execute(
                update(sign_in_links).where(mine, sign_in_links.c.used_ms.is_(None)).values(used_ms=self._now_ms())
            )
            if spent.rowcount != 1:
                raise AccountRefused("the link was used a moment ago; sign in, or ask for a new one")
            connection.execute(update(users).where(users.c.login == login).values(password_hash=kept))
            end_sessions(connection, login)
            merchant = self._merchant_of_login(connection, login)
            note(connection, merchant, login, self._now_ms(), "password_chosen", login)
        return login

    # --- parts ------------------------------------------------------------------------------------------------------

    def _open_link(self, secret: str):  # type: ignore[no-untyped-def]
        links = sign_in_links.c
        is_open = (links.link_hash == hash_of(secret), links.used_ms.is_(None), links.expires_ms > self._now_ms())
        return select(links.login).where(*is_open)

    def _merchant_of_login(self, connection: Connection, login: str) -> str:
        found = connection.execute(select(users.c.merchant).where(users.c.login == login)).scalar_one_or_none()
        if found is None:
            raise AccountRefused(f"user {login!r} does not exist; `ivizone-cloud user ls` lists them")
        return str(found)

    def _note(self, connection: Connection, merchant: str, action: str, subject: str) -> None:
        note(connection, merchant, OPERATOR, self._now_ms(), action, subject)


# --- within a transaction -----------------------------------------------------------------------------------------------


def make_link(connection: Connection, login: str, now_ms: int) -> str:
    """The secret of a link by which somebody chooses a password; their earlier links end."""
    connection.execute(delete(sign_in_links).where(sign_in_links.c.login == login))
    secret = new_secret()
    row = {"link_hash": hash_of(secret), "login": login, "expires_ms": now_ms + LINK_LIFE_MS}
    connection.execute(insert(sign_in_links), row)
    return secret


def end_sessions(connection: Connection, login: str) -> None:
    """Sign somebody out everywhere."""
    connection.execute(delete(sessions).where(sessions.c.login == login))


def erase_user(connection: Connection, login: str, merchant: str, now_ms: int) -> None:
    """Somebody, with their sessions and links; the tokens that they made are revoked."""
    end_sessions(connection, login)
    connection.execute(delete(sign_in_links).where(sign_in_links.c.login == login))
    connection.execute(delete(users).where(users.c.login == login))
    revoke_beyond(connection, login, merchant, frozenset(), now_ms)


def revoke_beyond(connection: Connection, login: str, merchant: str, rights: frozenset[str], now_ms: int) -> None:
    """Revoke the tokens that somebody made and that reach further than ``rights``."""
    mine = (api_tokens.c.made_by == login, api_tokens.c.merchant == merchant, api_tokens.c.revoked_ms.is_(None))
    for row in list(connection.execute(select(api_tokens.c.token, api_tokens.c.scopes).where(*mine))):
        if not rights >= set(row.scopes.split()):
            ended = update(api_tokens).where(api_tokens.c.token == row.token)
            connection.execute(ended.values(revoked_ms=now_ms))


def has_users(database: Engine) -> bool:
    """True where anybody could sign in."""
    with database.connect() as connection:
        return connection.execute(select(users.c.login).limit(1)).first() is not None


def login_of(text: str) -> str:
    """The name as it is kept: people write it with capitals and spaces around it."""
    return text.strip().lower()


def checked_name(text: str) -> str:
    """A merchant's name. Raises AccountRefused."""
    name = text.strip()
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise AccountRefused("the name must be 1 to 200 letters, digits and signs, in one line")
    return name


def checked_contact(text: str) -> str:
    """A merchant's contact. Raises AccountRefused."""
    contact = text.strip()
    if len(contact) > 300 or not contact.isprintable():
        raise AccountRefused("the contact must be at most 300 letters, digits and signs, in one line")
    return contact
