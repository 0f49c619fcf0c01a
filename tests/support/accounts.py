"""People who sign in, for tests: a cloud with two merchants, and browsers that behave as browsers do."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx
from argon2 import PasswordHasher

from cloud.accounts.accounts import Accounts, Merchant
from cloud.accounts.passwords import Passwords
from cloud.accounts.sessions import Sessions
from cloud.accounts.viewer import ROLES
from cloud.domain.site import Site

QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
"""argon2 all the same, but not at its price: tests hash a hundred times."""
PASSWORD = "a sentence that only we know"
FORM_KEY = re.compile(r'name="form_key" value="([0-9a-f]{64})"')


@dataclass
class People:
    """Two merchants, `main` and `other`, each with somebody of every role: owner@main, analyst@other ..."""

    embedded: object

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.embedded.database, QUICK, self.embedded.now_ms)
        self.sessions = Sessions(self.embedded.database, self.embedded.now_ms)
        self.accounts.add_merchant(Merchant("other", "The other merchant", "other@example.org"))
        for merchant in ("main", "other"):
            for role in ROLES:
                self.accounts.add_user(f"{role}@{merchant}", merchant, role)

    def add_other_store(self, name: str = "other-shop") -> Site:
        """A store of the other merchant."""
        site = Site(name, "The other shop", "UTC", "day", True, merchant="other")
        self.embedded.fleet.add_site(site)
        return site

    def with_password(self, login: str, password: str = PASSWORD) -> str:
        """Have somebody choose a password."""
        self.accounts.spend_link(self.accounts.reset(login), password)
        return login

    def browser(self, client: httpx.Client, login: str) -> httpx.Client:
        """A client of the same server with a session of ``login``."""
        return httpx.Client(
            base_url=client.base_url, timeout=20, cookies={"ivizone_session": self.sessions.begin(login)}
        )


def form_key(html: str) -> str:
    """The key that a page's forms carry."""
    return FORM_KEY.search(html)[1]


def sign_in(client: httpx.Client, login: str, password: str = PASSWORD, after: str = "/") -> httpx.Response:
    """Through the form, as a person."""
    key = form_key(client.get("/sign-in", params={"next": after}).text)
    return client.post("/sign-in", data={"form_key": key, "login": login, "password": password, "next": after})
