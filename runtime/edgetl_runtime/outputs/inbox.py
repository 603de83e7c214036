"""Packets from a broker: short replies to what we publish."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from paho.mqtt.client import Client

# Nothing is subscribed to, so that what comes is a few bytes; paho would keep up to 256 MB of it.
MOST_BYTES: Final = 65_536


def make_client(client_id: str) -> "Client":
    """A client of MQTT that hangs up on a broker that sends what no answer to us can be.

    Args:
        client_id: By which the broker knows a client that comes back.

    Raises:
        ImportError: If paho-mqtt is not installed.
    """
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    class Frugal(Client):
        def _sock_recv(self, bufsize: int) -> bytes:
            # Paho asks for the rest of a packet, as long as its head says it is; whatever is
            # raised here ends the connection.
            if bufsize > MOST_BYTES:
                raise ConnectionError(f"a packet larger than {MOST_BYTES:,} bytes")
            return super()._sock_recv(bufsize)

    return Frugal(CallbackAPIVersion.VERSION2, client_id)
