"""What an owner does with the people of their own merchant, on the page (shell: the database).

Nobody acts on themselves, and who acts is an owner at that moment: so a merchant always keeps one, whoever removes whom at the same time.
The operator's commands (``commands``) are for everything else, such as an owner who has lost their password.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud.accounts.accounts import LOGIN, erase_user, login_of, make_link, revoke_beyond
from cloud.accounts.audit import note
from cloud.accounts.errors import AccountRefused, NotAllowed, SignInLimited
from cloud.accounts.limits import KEPT_MS, Attempts
from cloud.accounts.viewer import LOCAL_LOGIN, MANAGE_PEOPLE, OWNER, ROLES, Viewer
from cloud.databases.base import ALONE
from cloud.databases.tables import users

INVITES_AN_HOUR = 20
"""Of one merchant: names are the same for all merchants, and nobody shall try out which are taken."""


class ColleagueRefused(AccountRefused):
    """It cannot be. ``key`` is that of the text which says why."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Colleagues:
    """``now_ms`` is the clock. Every act raises NotAllowed, ColleagueRefused."""

    def __init__(self, database: Engine, now_ms: Callable[[], int]) -> None:
        self._alone = database.execution_options(**{ALONE: True})
        self._attempts = Attempts(database, now_ms)
        self._now_ms = now_ms

    def invite(self, viewer: Viewer, login: str, role: str) -> str:
        """Add somebody; gives the secret of the link by which they choose a password. Raises SignInLimited too."""
        viewer.require(MANAGE_PEOPLE)
        login = login_of(login)
        if not LOGIN.fullmatch(login) or role not in ROLES:
            raise ColleagueRefused("people.name_wrong")
        if wait_s := self._attempts.take(INVITES_AN_HOUR, KEPT_MS, "invite", viewer.merchant):
            raise SignInLimited(wait_s)
        row = {"login": login, "merchant": viewer.merchant, "role": role, "created_ms": self._now_ms()}
        try:
            with self._alone.begin() as connection:
                self._require_owner(viewer, connection)
                connection.execute(insert(users), row)
                self._note(viewer, connection, "user_added", login)
                return make_link(connection, login, self._now_ms())
        except IntegrityError as error:
            raise ColleagueRefused("people.taken") from error

    def link(self, viewer: Viewer, login: str) -> str:
        """A new link for somebody; the old password holds until they use it."""
        viewer.require(MANAGE_PEOPLE)
        with self._alone.begin() as connection:
            found = self._other(viewer, connection, login)
            self._note(viewer, connection, "password_reset_begun", found)
            return make_link(connection, found, self._now_ms())

    def change_role(self, viewer: Viewer, login: str, role: str) -> None:
        """Another role, from their next click on. Tokens that they made and that reach further are revoked."""
        viewer.require(MANAGE_PEOPLE)
        if role not in ROLES:
            raise ColleagueRefused("people.name_wrong")
        with self._alone.begin() as connection:
            found = self._other(viewer, connection, login)
            connection.execute(update(users).where(users.c.login == found).values(role=role))
            revoke_beyond(connection, found, viewer.merchant, ROLES[role], self._now_ms())
            self._note(viewer, connection, f"user_made_{role}", found)

    def remove(self, viewer: Viewer, login: str) -> None:
        """Their sessions, links and tokens end with them."""
        viewer.require(MANAGE_PEOPLE)
        with self._alone.begin() as connection:
            found = self._other(viewer, connection, login)
            erase_user(connection, found, viewer.merchant, self._now_ms())
            self._note(viewer, connection, "user_removed", found)

    def _other(self, viewer: Viewer, connection: Connection, login: str) -> str:
        """Somebody else of the viewer's merchant."""
        self._require_owner(viewer, connection)
        login = login_of(login)
        if login == viewer.login:
            raise ColleagueRefused("people.yourself")
        mine = (users.c.login == login, users.c.merchant == viewer.merchant)
        if connection.execute(select(users.c.login).where(*mine)).first() is None:
            raise ColleagueRefused("people.not_there")
        return login

    def _require_owner(self, viewer: Viewer, connection: Connection) -> None:
        """Another owner may have acted since the page was opened."""
        mine = (users.c.login == viewer.login, users.c.merchant == viewer.merchant, users.c.role == OWNER)
        if viewer.login != LOCAL_LOGIN and connection.execute(select(users.c.login).where(*mine)).first() is None:
            raise NotAllowed(f"{viewer.login} is no owner of {viewer.merchant} any more")

    def _note(self, viewer: Viewer, connection: Connection, action: str, login: str) -> None:
        note(connection, viewer.merchant, viewer.login, self._now_ms(), action, login)
