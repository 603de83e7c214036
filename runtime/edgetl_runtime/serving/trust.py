"""Trust: an encrypted server's certificate, and the page that hands out the authority behind it.

The page is served over plain HTTP, since a phone trusts nothing here before it was there. Whoever
sits in the network can change it on its way: hence the fingerprint, which the phone shows of what
it was given, and the terminal of what it should be. It holds nothing but the certificate.
"""

import html
import ipaddress
import plistlib
import socket
import ssl
import uuid
from functools import partial
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from edgetl_runtime.serving.authority import Authority, open_authority
from edgetl_runtime.serving.codes import draw_svg
from edgetl_runtime.serving.encryption import Encryption
from edgetl_runtime.serving.listener import listen_beside
from edgetl_runtime.serving.webserver import WebServer
from edgetl_runtime.system.network import answers_mdns, find_host_name, find_own_address

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# Where the names of a profile's parts come from: the same authority replaces itself.
_PROFILES: Final = uuid.UUID("6f1d1f0e-5a52-4f0c-9c0e-2b7a3a0d6c51")


class Trust:
    """The certificate of an encrypted server, and the page beside it.

    Attributes:
        folder: Of the authority.
        authority: Vouches for the certificate.
        context: For the server.
        urls: Addresses of the server under which the certificate is valid, the best first.
        page_url: Address of the page that hands out the authority.
        is_public: Whether other machines reach the server.
    """

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        """Opens or makes the authority, and begins to hand it out.

        Args:
            folder: Of the authority.
            listener: Of the server.

        Raises:
            ServiceError: If an extra is missing, the authority cannot be used, or there is no port
                for the page.
            StorageError: If the authority cannot be written.
        """
        self.folder = folder
        self.authority = authority = open_authority(folder)
        self.context: ssl.SSLContext = Encryption(authority).context
        address, port = listener.getsockname()[:2]
        hosts = _find_hosts(address, authority)
        # Plain HTTP needs no certificate, so that an address will do that is in none.
        by_name = _is_name(hosts[0]) and not answers_mdns()
        page_host = find_own_address() if by_name else hosts[0]
        self.is_public = not ipaddress.ip_address(address.partition("%")[0]).is_loopback
        self.urls = tuple(f"https://{host}:{port}/" for host in hosts)
        beside = listen_beside(address, port)
        self.page_url = f"http://{page_host}:{beside.getsockname()[1]}/"
        try:
            self._server = WebServer(_build_app(self), beside, name="trust")
        except BaseException:
            beside.close()
            raise

    @property
    def url(self) -> str:
        """The best address of the server."""
        return self.urls[0]

    @property
    def hint(self) -> str:
        """What somebody whose browser does not trust this machine does, one sentence."""
        who = "a phone or browser" if self.is_public else "a browser"
        reach = "" if self.is_public else "; for phones, add --host 0.0.0.0"
        return (
            f"{who} that does not trust this machine yet opens {self.page_url} first; "
            f"the SHA-256 fingerprint of its authority is {self.authority.fingerprint}{reach}"
        )

    def close(self) -> None:
        """Ends the page."""
        self._server.close()


def _find_hosts(address: str, authority: Authority) -> list[str]:
    """What to write into an address bar: all of it is in the certificate."""
    name = f"{find_host_name()}.local"
    is_any = ipaddress.ip_address(address.partition("%")[0]).is_unspecified
    own = find_own_address() if is_any else address
    if _is_name(own) or not authority.covers(ipaddress.ip_address(own.partition("%")[0])):
        return [name]
    host = f"[{own}]" if ":" in own else own
    if not is_any:
        return [host]
    # A name outlives a change of address, but only where somebody answers for it.
    return [name, host] if answers_mdns() else [host, name]


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return True
    return False


def _build_app(trust: Trust) -> "Starlette":
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    page = files("edgetl_runtime.serving").joinpath("page")
    served = {
        "/": (_write_page(trust, page.joinpath("trust.html").read_text()), "text/html"),
        "/style.css": (page.joinpath("style.css").read_bytes(), "text/css"),
        "/trust.css": (page.joinpath("trust.css").read_bytes(), "text/css"),
        "/icon.svg": (page.joinpath("icon.svg").read_bytes(), "image/svg+xml"),
        "/code.svg": (draw_svg(trust.page_url), "image/svg+xml"),
        "/ca.crt": (trust.authority.der, "application/x-x509-ca-cert"),
        "/edgetl.mobileconfig": (
            write_profile(trust.authority),
            "application/x-apple-aspen-config",
        ),
    }
    routes = [Route(path, partial(_send, *found)) for path, found in served.items()]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
    app.router.redirect_slashes = False
    return app


async def _send(data: bytes, kind: str, request: "Request") -> "Response":
    from starlette.responses import Response

    return Response(data, media_type=kind, headers=_HEADERS)


async def _refuse(request: "Request", error: Exception) -> "Response":
    from starlette.exceptions import HTTPException
    from starlette.responses import PlainTextResponse

    assert isinstance(error, HTTPException)
    return PlainTextResponse(error.detail, error.status_code, {**(error.headers or {}), **_HEADERS})


def _write_page(trust: Trust, template: str) -> bytes:
    links = "".join(
        f'<li><a href="{html.escape(url)}">{html.escape(url)}</a></li>' for url in trust.urls
    )
    written = Template(template).substitute(
        host=html.escape(find_host_name()),
        name=html.escape(trust.authority.name),
        fingerprint=html.escape(trust.authority.fingerprint),
        page=html.escape(trust.page_url),
        links=links,
    )
    return written.encode()


def write_profile(authority: Authority) -> bytes:
    """The authority as a configuration profile of Apple's, which iPhones install."""
    identity = str(uuid.uuid5(_PROFILES, authority.fingerprint))
    certificate = {
        "PayloadType": "com.apple.security.root",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"edgetl.authority.{identity}",
        "PayloadUUID": identity,
        "PayloadDisplayName": authority.name,
        "PayloadCertificateFileName": "ca.crt",
        "PayloadContent": authority.der,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"edgetl.profile.{identity}",
        "PayloadUUID": str(uuid.uuid5(_PROFILES, identity)),
        "PayloadDisplayName": authority.name,
        "PayloadDescription": "Lets this device open the pages of edgetl on one machine of your "
        "local network. Remove it when you no longer need them.",
        "PayloadContent": [certificate],
    }
    return plistlib.dumps(profile)
