"""MQTT: the state, retained; events; whether the camera is there; and Home Assistant."""

import os
import platform
import re
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from edgetl_runtime.answer import Answer
from edgetl_runtime.errors import OptionsError, UndeliveredError
from edgetl_runtime.masking import mask
from edgetl_runtime.outputs.homeassistant import announce
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.outputs.records import Recorder, encode_line
from edgetl_runtime.printable import holds_control
from edgetl_runtime.settings.options import show

if TYPE_CHECKING:
    from paho.mqtt.client import Client

PASSWORD = "EDGETL_MQTT_PASSWORD"
ONLINE, OFFLINE = b"online", b"offline"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_QOS = 1
_KEEPALIVE_S = 30
_SLOWEST_RECONNECT_S = 30
# Between events, the score is worth a message now and then.
_STATE_EVERY_S = 10.0
_FAREWELL_S = 1.0
# Given to the network; the worker's own queue keeps what comes after.
_MOST_UNSENT = 100
# MQTT allows 65,535 bytes for the whole.
_MOST_TOPIC = 1000


class Broker(msgspec.Struct, frozen=True):
    """Where a broker is.

    Attributes:
        host: Name or address.
        port: TCP.
        encrypted: With TLS and the system's certificate authorities.
        user: Or None.
    """

    host: str
    port: int
    encrypted: bool
    user: str | None


class Mqtt(PlainOutput):
    """Publishes below `TOPIC/DEVICE`, all with quality of service 1.

    - `state`, retained: the record of an answer, at each event and every ten seconds.
    - `event`: the record of an answer that changed the stable label.
    - `availability`, retained: `online`, and `offline` after a farewell or, by the broker's last
      will, after any other end.

    While the broker is away, events wait in the worker's queue.
    """

    name = "mqtt"
    lossless = False

    def __init__(self, broker: Broker, topic: str, top: int, *, discovery: bool) -> None:
        """Connects in the background, and again whenever the connection is lost.

        Args:
            broker: Where to.
            topic: Above the device's own.
            top: Labels to list.
            discovery: Announce the camera to Home Assistant.

        Raises:
            OptionsError: If paho-mqtt is not installed or the topic is none.
        """
        self._topic = f"{check_topic(topic)}/{_name_host()}"
        self._broker, self._discovery = broker, discovery
        self._recorder = Recorder(top)
        self._state: bytes | None = None
        self._availability = ONLINE
        self._published_s = float("-inf")
        self._trouble = "not connected yet"
        self._client = self._make_client()
        self._client.connect_async(broker.host, broker.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def accepts(self, answer: Answer) -> bool:
        """Events, and an answer every ten seconds."""
        return answer.event is not None or time.monotonic() - self._published_s >= _STATE_EVERY_S

    def write(self, answer: Answer) -> None:
        """Publishes the state, and the event if there is one.

        Raises:
            UndeliveredError: If the broker is away.
        """
        self._published_s = time.monotonic()
        payload = encode_line(self._recorder.describe(answer)).strip()
        self._state = payload
        if not self._client.is_connected():
            raise UndeliveredError(f"{self._where}: {self._trouble}")
        self._publish("state", payload, retain=True)
        self._tell_availability(OFFLINE if answer.stale else ONLINE)
        if answer.event is not None:
            self._publish("event", payload)

    def close(self) -> None:
        """Says goodbye, if the broker is there."""
        if self._client.is_connected():
            farewell = self._client.publish(f"{self._topic}/availability", OFFLINE, _QOS, True)
            farewell.wait_for_publish(_FAREWELL_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self) -> "Client":
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise OptionsError(
                "mqtt needs paho-mqtt, which is not installed: pip install 'edgetl-runtime[mqtt]'"
            ) from error
        client = Client(CallbackAPIVersion.VERSION2, f"edgetl-{secrets.token_hex(6)}")
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, os.environ.get(PASSWORD))
        if self._broker.encrypted:
            client.tls_set()
        client.will_set(f"{self._topic}/availability", OFFLINE, _QOS, retain=True)
        client.reconnect_delay_set(1, _SLOWEST_RECONNECT_S)
        client.max_queued_messages_set(_MOST_UNSENT)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        return client

    def _on_connect(self, client: "Client", _: Any, __: Any, reason: Any, ___: Any) -> None:
        """On the network's thread: says anew what the broker may have forgotten."""
        if reason.is_failure:
            hint = f"; is {PASSWORD} right?" if "authori" in str(reason).lower() else ""
            self._trouble = f"refused: {reason}{hint}"
            return
        self._trouble = ""
        if self._discovery:
            found = announce(*self._name_device(), *self._list_topics("state", "availability"))
            for topic, payload in found.items():
                client.publish(topic, payload, _QOS, retain=True)
        # A camera that is lost is offline, too, though the program runs.
        client.publish(f"{self._topic}/availability", self._availability, _QOS, retain=True)
        if self._state is not None:
            client.publish(f"{self._topic}/state", self._state, _QOS, retain=True)

    def _on_disconnect(self, _: "Client", __: Any, ___: Any, reason: Any, ____: Any) -> None:
        # A refusal was told more precisely just before.
        if not self._trouble.startswith("refused"):
            self._trouble = f"connection lost ({reason})"

    def _on_connect_fail(self, _: "Client", __: Any) -> None:
        self._trouble = "no connection; is the broker running, and are host and port right?"

    def _publish(self, name: str, payload: bytes, *, retain: bool = False) -> None:
        from paho.mqtt.enums import MQTTErrorCode

        sent = self._client.publish(f"{self._topic}/{name}", payload, _QOS, retain)
        if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            raise UndeliveredError(f"{self._where}: the broker does not confirm what it gets")

    def _tell_availability(self, availability: bytes) -> None:
        if availability != self._availability:
            self._availability = availability
            self._publish("availability", availability, retain=True)

    def _list_topics(self, *names: str) -> list[str]:
        return [f"{self._topic}/{name}" for name in names]

    def _name_device(self) -> tuple[str, str]:
        """Unique, and for people."""
        return re.sub(r"\W", "_", self._topic, flags=re.ASCII), f"Camera {_name_host()}"

    @property
    def _where(self) -> str:
        return f"{self._broker.host}:{self._broker.port}"


def parse_broker(address: str) -> Broker:
    """Reads `mqtt://user@host:1883` or `mqtts://host`.

    Raises:
        OptionsError: With the address, but never with a password in it.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        # What it says quotes the address.
        raise OptionsError(f"mqtt: expected mqtt://host:1883, got {mask(address)}") from error
    if parts.password is not None:
        raise OptionsError(
            f"mqtt: no password in the address, others could read it; put it into the environment "
            f"variable {PASSWORD}"
        )
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise OptionsError(
            f"mqtt: expected mqtt://user@host:1883 or mqtts://host, got {mask(address)}; the "
            "topic has an option of its own"
        )
    user = unquote(parts.username) if parts.username else None
    if user is not None and holds_control(user):
        raise OptionsError(f"mqtt: the name of a user holds no control characters, got {user!a}")
    return Broker(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts", user)


def check_topic(topic: str) -> str:
    """Refuses a topic that MQTT cannot publish to.

    Raises:
        OptionsError: With the topic.
    """
    odd = set(topic) & set("+#") or holds_control(topic) or topic.startswith("$")
    if odd or not topic.strip("/") or topic != topic.strip("/") or len(topic) > _MOST_TOPIC:
        raise OptionsError(
            "mqtt_topic: expected words with slashes between them, no + or #, no $ at the start, "
            f"no control characters and at most {_MOST_TOPIC} characters, got {show(topic)}"
        )
    return topic


def _name_host() -> str:
    return re.sub(r"[^\w-]", "_", platform.node(), flags=re.ASCII) or "camera"
