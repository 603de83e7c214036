"""What secrets would cross a network in clear text, so that it can be said once, at the start."""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from edgetl_runtime.credentials import find_host, split_credentials
from edgetl_runtime.settings.sections import Settings

_MQTT_PASSWORD: Final = "EDGETL_MQTT_PASSWORD"
_POST_TOKEN: Final = "EDGETL_POST_TOKEN"
# Names that cameras and web hooks give to what opens them.
_SECRET = re.compile(r"(pass|pwd|psw|token|secret|auth|key)\w*=[^&;]", re.IGNORECASE)
_ANYONE = "crosses the network in clear text, where others can read it"


def find_exposed(settings: Settings, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """One sentence, with a remedy, on each secret that goes to another host without TLS.

    A camera's password over RTSP is not among them: RTSP has its own way to prove a password.

    Args:
        settings: Of source and outputs.
        environment: Where passwords are.
    """
    source, post, mqtt = settings.source.address, settings.output.post, settings.output.mqtt
    if _leaves(source, "http") and _holds_secret(source):
        yield (
            f"the camera's password {_ANYONE}; use https:// if the camera offers it, or a network "
            "of its own"
        )
    if post and _leaves(post, "http"):
        what = "the token of --post" if environment.get(_POST_TOKEN) else ""
        what = what or ("what the address of --post holds" if _holds_secret(post) else "")
        if what:
            yield f"{what} {_ANYONE}; give an address that begins with https://"
    has_password = environment.get(_MQTT_PASSWORD) and "@" in (mqtt or "")
    if mqtt and _leaves(mqtt, "mqtt") and has_password:
        yield f"the broker's password {_ANYONE}; give an address that begins with mqtts://"


def _leaves(address: str, scheme: str) -> bool:
    """Whether it is of this scheme and leads to another machine."""
    if not address.lower().startswith(f"{scheme}://"):
        return False
    host = find_host(address)
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


def _holds_secret(address: str) -> bool:
    found = split_credentials(address)
    return bool(found.user is not None or _SECRET.search(found.url))
