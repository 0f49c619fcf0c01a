"""Who looks: the value that every query of the pages and of the API takes first (core).

A viewer belongs to one merchant. `visible_sites` is the one place that says what of the database they may see; a query that forgets it
does not exist, because a test reads the signatures (tests/cloud/accounts/test_tenancy.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, select

from cloud.accounts.errors import NotAllowed
from cloud.databases.tables import sites

READ_FIGURES, READ_FLEET = "figures:read", "fleet:read"
CHANGE_FLEET, CHANGE_SITES, MANAGE_TOKENS, READ_AUDIT = "fleet:change", "sites:change", "tokens:manage", "audit:read"
CHANGE_OFFERS, MANAGE_PEOPLE = "offers:change", "people:manage"
SCOPES = (READ_FIGURES, READ_FLEET)
"""What a token of the API can have; nothing can be changed with one."""
ROLES: dict[str, frozenset[str]] = {
    "owner": frozenset(
        {
            READ_FIGURES,
            READ_FLEET,
            CHANGE_FLEET,
            CHANGE_SITES,
            MANAGE_TOKENS,
            READ_AUDIT,
            CHANGE_OFFERS,
            MANAGE_PEOPLE,
        }
    ),
    "analyst": frozenset({READ_FIGURES, READ_FLEET, MANAGE_TOKENS}),
    "installer": frozenset({READ_FLEET, CHANGE_FLEET, CHANGE_SITES}),
}
"""Role -> rights. Who installs an access point sees that it works, not how the shop does."""
OWNER = "owner"
LOCAL_LOGIN = "this machine"
"""Who everybody is where sign-in is off. Nobody else can bear a name with a space."""
MAIN = "main"
"""The merchant that every installation begins with."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, for which merchant, with which rights."""

    merchant: str
    login: str
    rights: frozenset[str]
    language: str | None = None

    def may(self, right: str) -> bool:
        """True where they have the right."""
        return right in self.rights

    def require(self, right: str) -> None:
        """Raise NotAllowed where they do not have it."""
        if right not in self.rights:
            raise NotAllowed(f"this needs the right {right}, and {self.login} does not have it")


def of_role(merchant: str, login: str, role: str, language: str | None = None) -> Viewer:
    """A viewer with the rights of a role."""
    return Viewer(merchant, login, ROLES[role], language)


def visible_sites(viewer: Viewer) -> Select[tuple[str]]:
    """The names of the stores that the viewer may see anything of, as a subquery."""
    return select(sites.c.site).where(sites.c.merchant == viewer.merchant)
