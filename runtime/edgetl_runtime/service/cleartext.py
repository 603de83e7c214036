"""Secrets that would cross a network unencrypted, for a warning at startup."""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping

from edgetl_runtime.outputs import mqtt, post
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.text.credentials import find_host, split_credentials

# Names that cameras and web hooks give to what opens them.
_SECRET = re.compile(r"(pass|pwd|psw|token|secret|auth|key)\w*=[^&;]", re.IGNORECASE)
_ANYONE = "crosses the network unencrypted, where others can read it"


def find_exposed(
    settings: Settings, environment: Mapping[str, str] = os.environ, *, page: bool = False
) -> Iterator[str]:
    """One sentence, with a remedy, on each secret that goes to another host without TLS.

    A camera's password over RTSP is not among them: RTSP has its own way to prove a password.

    Args:
        settings: Of source and outputs.
        environment: Where passwords are.
        page: Whether there is one, whose token each browser sends.
    """
    serve = settings.serve
    if page and not serve.tls and not _is_here(serve.host.strip("[]")):
        yield (
            f"a browser on another machine sends the page's token, which {_ANYONE}, unless a "
            "reverse proxy with TLS is in front; add --tls, or, with such a proxy on this machine, "
            "leave out --host"
        )
    source, receiver, broker = settings.source.address, settings.output.post, settings.output.mqtt
    if _leaves(source, "http") and _holds_secret(source):
        yield (
            f"the camera's password {_ANYONE}; use https:// if the camera offers it, or a network "
            "of its own"
        )
    if receiver and _leaves(receiver, "http"):
        what = "the token of --post" if environment.get(post.TOKEN) else ""
        what = what or (
            "the user name or password in the address of --post" if _holds_secret(receiver) else ""
        )
        if what:
            yield f"{what} {_ANYONE}; give an address that begins with https://"
    has_password = environment.get(mqtt.PASSWORD) and "@" in (broker or "")
    if broker and _leaves(broker, "mqtt") and has_password:
        yield f"the broker's password {_ANYONE}; give an address that begins with mqtts://"


def _leaves(address: str, scheme: str) -> bool:
    """Whether it is of this scheme and leads to another machine."""
    if not address.lower().startswith(f"{scheme}://"):
        return False
    return not _is_here(find_host(address))


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _holds_secret(address: str) -> bool:
    found = split_credentials(address)
    return bool(found.user is not None or _SECRET.search(found.url))
