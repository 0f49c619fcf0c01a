"""The page that tells a person what the API can do; it is made of ``openapi.yaml``, which programs read.

| route | answers |
| --- | --- |
| GET /account/api | what can be asked, with an example |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cloud.accounts.gate import Gate, Visit
from cloud.dashboard.api import described
from cloud.dashboard.queries import Queries
from cloud.dashboard.web import Pages

EXAMPLE_SITE = "my-shop"


class ApiPage:
    """The route."""

    def __init__(self, queries: Queries, pages: Pages) -> None:
        self._queries = queries
        self._pages = pages

    def routes(self, gate: Gate) -> list[BaseRoute]:
        """What to mount."""
        return [Route("/account/api", gate.page(None, self._pages.work(self.page)))]

    def page(self, request: Request, visit: Visit) -> Response:
        """The page; the example names a store of the reader where there is one."""
        sites = self._queries.sites(visit.viewer)
        url = str(request.base_url).rstrip("/") + described()["servers"][0]["url"]
        path = f"{url}/sites/{sites[0].site if sites else EXAMPLE_SITE}/days"
        example = f'curl -H "Authorization: Bearer ivzapi-..." "{path}?from=2026-11-01&to=2026-11-20"'
        return self._pages.page(
            request, "api.html", visit, here="account", example=example, operations=operations(described())
        )


def operations(description: dict[str, Any]) -> list[dict[str, Any]]:
    """Path, summary and query of every question, in the order of the description."""
    found = []
    for path, methods in description["paths"].items():
        asked = methods["get"]
        named = [_named(description, parameter) for parameter in asked.get("parameters", ())]
        query = [parameter["name"] for parameter in named if parameter["in"] == "query"]
        address = description["servers"][0]["url"] + path
        found.append({"path": address, "summary": asked["summary"], "query": _in_words(query)})
    return found


def _named(description: dict[str, Any], parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter, or what it refers to. Source: OpenAPI 3.1.0, 4.8.23 (reference object)."""
    if "$ref" not in parameter:
        return parameter
    name = parameter["$ref"].rsplit("/", 1)[-1]
    shared: dict[str, Any] = description["components"]["parameters"][name]
    return shared


def _in_words(names: Sequence[str]) -> str:
    return "?" + "=&".join(names) + "=" if names else ""
