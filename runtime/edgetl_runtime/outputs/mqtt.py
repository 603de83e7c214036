"""MQTT: the state, retained; events; whether the camera is there; and Home Assistant."""

import contextlib
import errno
import hashlib
import os
import platform
import re
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from edgetl_runtime.answers import Answer, Recorder, encode_line
from edgetl_runtime.errors import OptionsError, UndeliveredError
from edgetl_runtime.outputs.homeassistant import announce
from edgetl_runtime.outputs.inbox import make_client
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.system.tls import Identity, explain, probe
from edgetl_runtime.text.masking import mask
from edgetl_runtime.text.printable import holds_control
from edgetl_runtime.text.showing import show

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
# Within this a broker at hand has answered. Less than an output has to close.
_FIRST_ANSWER_S = 1.5
# As long as this paho itself waits for an answer.
_SILENT_S = 4.5
_TAKEN_LOSSES, _TAKEN_WITHIN_S = 3, 60.0
# A broker that takes longer to confirm is in trouble. Less than an output has to close.
_CONFIRMED_S, _LOOK_AGAIN_S = 1.0, 0.01
# Given to the network; the worker's own queue keeps what comes after.
_MOST_UNSENT = 100
# MQTT allows 65,535 bytes for the whole.
_MOST_TOPIC = 1000
_IDENTITY = Identity("mqtt")


class Broker(msgspec.Struct, frozen=True):
    """The address of a broker.

    Attributes:
        host: Name or address.
        port: TCP.
        encrypted: With TLS.
        user: Or None.
    """

    host: str
    port: int
    encrypted: bool
    user: str | None


class Mqtt(PlainOutput):
    """Publishes below `TOPIC/NAME`, all with quality of service 1.

    - `state`, retained: the record of an answer, at each event and every ten seconds.
    - `event`: the record of an answer that changed the stable label.
    - `availability`, retained: `online`, and `offline` after a farewell or, by the broker's last
      will, after any other end.

    While the broker is away, events wait in the worker's queue. Topic and client id follow from
    the name, so that a camera that comes back takes its old session over, with its last will: the
    broker would publish that "offline" later, over the "online" of the new session.
    """

    name = "mqtt"
    lossless = True

    def __init__(
        self,
        broker: Broker,
        topic: str,
        top: int,
        *,
        name: str | None = None,
        discovery: bool = True,
        identity: Identity = _IDENTITY,
    ) -> None:
        """Connects in the background, and again whenever the connection is lost.

        Args:
            broker: Where to.
            topic: Above the camera's own.
            top: Labels to list.
            name: Of this camera among others; by default the host's.
            discovery: Announce the camera to Home Assistant.
            identity: Of an encrypted connection.

        Raises:
            OptionsError: If paho-mqtt is not installed, the topic is not valid, another program of
                this board publishes to it, the host's name is one of a container, or a file of
                `identity` cannot be used.
        """
        self._called = name or _name_host()
        self._topic = f"{check_topic(topic)}/{self._called}"
        self._broker, self._discovery = broker, discovery
        self._recorder = Recorder(top)
        self._state: bytes | None = None
        self._availability = ONLINE
        self._published_s = float("-inf")
        self._trouble = "no answer yet"
        self._settled = threading.Event()
        self._tried_s = 0.0
        self._lost_s: deque[float] = deque(maxlen=_TAKEN_LOSSES)
        identity.check_use(encrypted=broker.encrypted, address="mqtts://")
        self._context = identity.make_context() if broker.encrypted else None
        self._client = self._make_client()
        self._claim = _claim(self._topic, broker)
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
        self._settled.wait(_FIRST_ANSWER_S)
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
            # Raised where the broker confirms nothing any more, or went away just now.
            with contextlib.suppress(ValueError, RuntimeError):
                farewell.wait_for_publish(_FAREWELL_S)
        self._client.disconnect()
        self._client.loop_stop()
        if self._claim:
            self._claim.close()

    def _make_client(self) -> "Client":
        try:
            client = make_client(f"edgetl-{_digest(self._topic)}")
        except ImportError as error:
            raise OptionsError(
                "mqtt needs paho-mqtt, which is not installed: pip install 'edgetl-runtime[mqtt]'"
            ) from error
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, _read_password())
        if self._context is not None:
            client.tls_set_context(self._context)
        client.will_set(f"{self._topic}/availability", OFFLINE, _QOS, retain=True)
        client.reconnect_delay_set(1, _SLOWEST_RECONNECT_S)
        client.max_queued_messages_set(_MOST_UNSENT)
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        return client

    def _on_connect(self, client: "Client", _: Any, __: Any, reason: Any, ___: Any) -> None:
        """Publishes again what the broker may have forgotten; on the network's thread."""
        if reason.is_failure:
            self._trouble = _explain_refusal(str(reason))
            self._settled.set()
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
        self._settled.set()

    def _on_disconnect(self, _: "Client", __: Any, ___: Any, reason: Any, ____: Any) -> None:
        # A refusal was told more precisely just before.
        if self._trouble.startswith("refused"):
            return
        if self._trouble:
            # Before it ever said yes or no: a broker that demands a certificate does so.
            self._trouble = self._find_trouble() or self._explain_silence()
        else:
            self._lost_s.append(time.monotonic())
            self._trouble = f"connection lost{_name_reason(str(reason))}{self._suspect()}"
        self._settled.set()

    def _on_pre_connect(self, _: "Client", __: Any) -> None:
        self._tried_s = time.monotonic()

    def _on_connect_fail(self, _: "Client", __: Any) -> None:
        self._trouble = self._find_trouble() or "no connection"
        self._settled.set()

    def _find_trouble(self) -> str:
        """Paho does not say why; a second try that takes long would keep its thread too long."""
        if time.monotonic() - self._tried_s > _SILENT_S:
            return explain(TimeoutError(), "mqtt")
        return probe(self._broker.host, self._broker.port, self._context, "mqtt")

    def _explain_silence(self) -> str:
        question = "" if self._broker.encrypted else ", or does it need mqtts://"
        return f"it closes the connection at once; is a broker there{question}?"

    def _suspect(self) -> str:
        """A broker ends the session of one client when another comes with the same id."""
        often = len(self._lost_s) == _TAKEN_LOSSES
        if not often or self._lost_s[-1] - self._lost_s[0] > _TAKEN_WITHIN_S:
            return ""
        return (
            f" repeatedly; does another program use the name {self._called}? Give each its own "
            "--name"
        )

    def _publish(self, name: str, payload: bytes, *, retain: bool = False) -> None:
        from paho.mqtt.enums import MQTTErrorCode

        until_s = time.monotonic() + _CONFIRMED_S
        sent = self._client.publish(f"{self._topic}/{name}", payload, _QOS, retain)
        # A file is read faster than a broker confirms; it waits for this thread, which may wait.
        while sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE and time.monotonic() < until_s:
            time.sleep(_LOOK_AGAIN_S)
            sent = self._client.publish(f"{self._topic}/{name}", payload, _QOS, retain)
        if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            raise UndeliveredError(f"{self._where}: the broker does not confirm what it receives")

    def _tell_availability(self, availability: bytes) -> None:
        if availability != self._availability:
            self._availability = availability
            self._publish("availability", availability, retain=True)

    def _list_topics(self, *names: str) -> list[str]:
        return [f"{self._topic}/{name}" for name in names]

    def _name_device(self) -> tuple[str, str]:
        """Unique, and for people."""
        plain = re.sub(r"\W", "_", self._topic, flags=re.ASCII)
        if re.fullmatch(r"[A-Za-z0-9]+/[A-Za-z0-9]+", self._topic):
            return plain, f"Camera {self._called}"
        # Other topics may give the same word.
        return f"{plain}_{_digest(self._topic)}", f"Camera {self._called}"

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
        if port == 0:
            raise ValueError("port 0")
    except ValueError as error:
        # What it says quotes the address.
        raise OptionsError(
            f"mqtt: expected mqtt://host:1883, with a port from 1 to 65535, got {mask(address)}; "
            f"put a password into the environment variable {PASSWORD}"
        ) from error
    if parts.password is not None:
        raise OptionsError(
            f"mqtt: a password in the address is readable by others; put it into the environment "
            f"variable {PASSWORD}"
        )
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise OptionsError(
            f"mqtt: expected mqtt://user@host:1883 or mqtts://host, got {mask(address)}; set the "
            "topic with --mqtt-topic"
        )
    user = unquote(parts.username) if parts.username else None
    if user is not None and holds_control(user):
        raise OptionsError(f"mqtt: expected a user name without control characters, got {user!a}")
    return Broker(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts", user)


def _explain_refusal(reason: str) -> str:
    hint = f"; is {PASSWORD} correct?" if "authori" in reason.lower() else ""
    return f"refused{_name_reason(reason)}{hint}"


def _name_reason(reason: str) -> str:
    """What paho calls a reason, unless it knows none."""
    return "" if reason == "Unspecified error" else f" ({reason})"


def _read_password() -> str | None:
    password = os.environ.get(PASSWORD)
    try:
        (password or "").encode()
    except UnicodeEncodeError as error:
        raise OptionsError(
            f"mqtt: the environment variable {PASSWORD} is not UTF-8; set it again"
        ) from error
    return password


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


def _claim(topic: str, broker: Broker) -> socket.socket | None:
    """Holds a name of the kernel's that one process of this board can have at a time."""
    address = f"\0edgetl-mqtt-{_digest(f'{broker.host}:{broker.port} {topic}')}"
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(address)
    except OSError as error:
        claim.close()
        if error.errno != errno.EADDRINUSE:
            return None  # A system without such names.
        raise OptionsError(
            f"another edgetl-run on this board publishes to {topic}; give each its own --name"
        ) from error
    return claim


def _digest(topic: str) -> str:
    return hashlib.sha256(topic.encode()).hexdigest()[:12]


def _name_host() -> str:
    host = platform.node()
    if re.fullmatch(r"[0-9a-f]{12}", host):
        raise OptionsError(
            f"mqtt: the host name of this container, {host}, changes with each start, so each "
            "start would look like a new camera; give it a name: --name door"
        )
    return re.sub(r"[^\w-]", "_", host, flags=re.ASCII) or "camera"
