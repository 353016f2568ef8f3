"""Which requests may change something, by the site they come from.

No service asks for a password, and a browser sends to 127.0.0.1 whatever the pages it shows tell it
to send. Two marks tell such a request: the page's `Origin` is not the address that is asked, or
that address is a name that somebody else can point at this machine (DNS rebinding). Programs send
neither mark.
"""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self
from urllib.parse import urlsplit

from flask import Flask, request

from servicekit.api import discard_body
from servicekit.errors import Forbidden
from servicekit.settings import ServiceSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
DEFAULT_PORTS = {"http": 80, "https": 443}
OTHER_SITES = frozenset({"cross-site", "same-site"})
"""Values of `Sec-Fetch-Site` that a page of the same origin never has."""


class ForeignHost(Forbidden):
    """Foreign host name."""

    advice = (
        "The Host header is a name that this service does not know as its own. Use an IP address or"
        " localhost, or add the name to CELLAR_ALLOWED_HOSTS."
    )


class ForeignOrigin(Forbidden):
    """Request of another site."""

    advice = (
        "A page of another site may change nothing here. Send the request from a program, or add"
        " the page's host name to CELLAR_ALLOWED_HOSTS."
    )


@dataclass(frozen=True)
class OwnSites:
    """The names of a service, and the further ones whose pages may call it."""

    names: frozenset[str]
    further: frozenset[str]

    @classmethod
    def of(cls, settings: ServiceSettings, service: str) -> Self:
        """Take the settings' names, and the name under which other containers know the service."""
        return cls(
            frozenset((*settings.own_host_names(), service)),
            frozenset(settings.further_host_names()),
        )

    def has_host(self, host: str | None) -> bool:
        """Tell whether a Host header names this service; no browser leaves it out."""
        return not host or _is_own(host, self.names)

    def has_origin(self, origin: str | None, fetch_site: str | None, host: str | None) -> bool:
        """Tell whether a request comes from no page, or from one that may call `host`."""
        if origin is None:
            return fetch_site not in OTHER_SITES
        try:
            page = urlsplit(origin)
            if page.hostname in self.further:
                return True
            same = _address(page.netloc, page.scheme) == _address(host or "", page.scheme)
        except ValueError:
            return False
        return page.scheme in DEFAULT_PORTS and same and fetch_site not in OTHER_SITES

    def is_plain(self, headers: Any) -> bool:
        """Tell whether headers (`get(name)`) are those of a program that asks by an own name."""
        return (
            headers.get("origin") is None
            and headers.get("sec-fetch-site") is None
            and self.has_host(headers.get("host"))
        )


def register_own_sites(app: Flask, sites: OwnSites) -> None:
    """Refuse what comes from elsewhere and would change something, with 403."""

    @app.before_request
    def refuse_foreign() -> None:
        if request.method in SAFE_METHODS:
            return
        headers = request.headers
        host = headers.get("Host")
        if not sites.has_host(host):
            discard_body()
            raise ForeignHost()
        if not sites.has_origin(headers.get("Origin"), headers.get("Sec-Fetch-Site"), host):
            discard_body()
            raise ForeignOrigin()


@lru_cache(maxsize=256)
def _is_own(host: str, names: frozenset[str]) -> bool:
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    else:
        name = name.partition(":")[0].removesuffix(".")
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _address(netloc: str, scheme: str) -> tuple[str | None, int | None]:
    """Return host and port; ValueError where the port is no number."""
    parts = urlsplit(f"//{netloc}")
    return parts.hostname, parts.port or DEFAULT_PORTS.get(scheme)
