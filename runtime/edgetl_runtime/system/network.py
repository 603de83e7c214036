"""Names and addresses under which others reach this machine."""

import fcntl
import ipaddress
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOPBACKS: Final[tuple[Address, ...]] = (
    ipaddress.IPv4Address("127.0.0.1"),
    ipaddress.IPv6Address("::1"),
)
# From linux/sockios.h.
_SIOCGIFADDR: Final = 0x8915
# Of RFC 4007: reachable from beyond the link, as a line of /proc/net/if_inet6 has it.
_GLOBAL_SCOPE: Final = "00"
_IF_INET6: Final = Path("/proc/net/if_inet6")
# RFC 1123, 2.1; what else a kernel accepts as its name can be in no certificate.
_HOST_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_AVAHI: Final = Path("/run/avahi-daemon/socket")


def find_host_name() -> str:
    """The name of this machine without its domain, in lower case; `localhost` if it has none."""
    name = socket.gethostname().partition(".")[0].lower()
    return name if _HOST_NAME.fullmatch(name) else "localhost"


def answers_mdns() -> bool:
    """Whether others find this machine as `NAME.local`, as far as can be told: Avahi runs."""
    return _AVAHI.exists()


def find_own_address() -> str:
    """The address under which others reach this machine, or its name if it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: connecting a datagram socket only asks for the route (the address is
            # one of RFC 5737's, which nobody has).
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        address: str = probe.getsockname()[0]
        return address


def list_addresses() -> tuple[Address, ...]:
    """All addresses of this machine, the loopback's included, sorted; one IPv4 an interface."""
    found = {*_LOOPBACKS, *_list_ipv4(), *_list_ipv6()}
    return tuple(sorted(found, key=lambda one: (one.version, int(one))))


def _list_ipv4() -> Iterator[Address]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                # An interface without an address, or a system with other numbers.
                continue
            yield ipaddress.IPv4Address(answer[20:24])


def _list_ipv6() -> Iterator[Address]:
    try:
        lines = _IF_INET6.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        digits, _, _, scope, *_ = line.split()
        if scope == _GLOBAL_SCOPE:
            yield ipaddress.IPv6Address(bytes.fromhex(digits))
