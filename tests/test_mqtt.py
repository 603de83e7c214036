"""MQTT against the real mosquitto, read back by a real client."""

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetl_runtime.answers import Answer, Event
from edgetl_runtime.errors import OptionsError, UndeliveredError
from edgetl_runtime.outputs import worker as worker_module
from edgetl_runtime.outputs.mqtt import Broker, Mqtt, parse_broker
from edgetl_runtime.outputs.worker import OutputWorker
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.system.tls import Identity
from tests.waiting import wait_until

paho = pytest.importorskip("paho.mqtt.client")
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
HOST = re.sub(r"[^\w-]", "_", platform.node(), flags=re.ASCII)
TOPIC = f"home/{HOST}"


TIME = "2026-05-28T20:26:40.250Z"


def make_answer(
    index: int, label: str | None = "gear", *, event: bool = False, stale: bool = False
) -> Answer:
    scores = np.array([0.75, 0.25], np.float32)
    now_s = time.monotonic()
    prediction = Prediction(("gear", "washer"), scores, 0.5, now_s, now_s, 1.0, 2.0)
    change = Event(index, label, "washer", 0.75, TIME) if event else None
    return Answer(
        "camera", index, (64, 48), prediction, scores, label, 0.75, stale, False, change, TIME
    )


class Mosquitto:
    """The broker; may be killed and started again on its port."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true\n") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nuser root\npersistence false\n{extra}"
        )
        self.start()

    def start(self) -> None:
        command = [str(MOSQUITTO), "-c", str(self.config)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self.answers, "the start of mosquitto")

    def answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Road:
    """Leads to the broker while it is open, so that a test knows who gets there first."""

    def __init__(self, port: int) -> None:
        self.open, self.goal = True, ("127.0.0.1", port)
        road = self

        class Traveller(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    if road.open:
                        with socket.create_connection(road.goal) as there:
                            back = threading.Thread(target=carry, args=(there, self.request))
                            back.start()
                            carry(self.request, there)
                            back.join()

        def carry(source: socket.socket, goal: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    goal.sendall(data)
            for end in (source, goal):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Traveller)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Reader:
    """Keeps the last payload of each topic, and all events in order."""

    def __init__(self, port: int, user: tuple[str, str] | None = None) -> None:
        from paho.mqtt.enums import CallbackAPIVersion

        self.last: dict[str, bytes] = {}
        self.events: list[int] = []
        self.retained: set[str] = set()
        self.ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        if user:
            self.client.username_pw_set(*user)
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = self._keep
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(30)

    def _keep(self, _client: object, _data: object, message: "paho.MQTTMessage") -> None:
        self.last[message.topic] = message.payload
        if message.retain:
            self.retained.add(message.topic)
        if message.topic.endswith("/event"):
            self.events.append(json.loads(message.payload)["event"]["number"])

    def state(self) -> dict[str, object]:
        return json.loads(self.last.get(f"{TOPIC}/state", b"{}"))

    def available(self) -> bytes | None:
        return self.last.get(f"{TOPIC}/availability")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_LONGEST_PAUSE_S", 0.2)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path)
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def road(broker: Mosquitto) -> Iterator[Road]:
    road = Road(broker.port)
    yield road
    broker.kill()
    road.close()


@pytest.fixture
def locked_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Knows the user `camera` with the password `s3cret`."""
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", passwords, "camera", "s3cret"],
        check=True,
        capture_output=True,
    )
    mosquitto = Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {passwords}\n")
    yield mosquitto
    mosquitto.kill()


@pytest.fixture
def read() -> Iterator[Callable[..., Reader]]:
    readers: list[Reader] = []

    def read(*arguments: object) -> Reader:
        readers.append(Reader(*arguments))
        return readers[-1]

    yield read
    for reader in readers:
        reader.close()


@pytest.fixture
def start() -> Iterator[Callable[..., OutputWorker]]:
    workers: list[OutputWorker] = []

    def start(
        port: int, *, user: str | None = None, discovery: bool = True, name: str | None = None
    ) -> OutputWorker:
        broker = Broker("127.0.0.1", port, False, user)
        # The machine may be a container.
        output = Mqtt(broker, "home", 2, name=name or HOST, discovery=discovery)
        workers.append(OutputWorker(output, live=True))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close(5)


def test_state_is_retained_and_events_are_published(broker, read, start):
    reader = read(broker.port)
    worker = start(broker.port)
    wait_until(lambda: reader.available() == b"online", "online")
    worker.publish(make_answer(1, event=True))
    wait_until(lambda: reader.events == [1], "the event")
    worker.publish(make_answer(2, "washer", event=True))
    wait_until(lambda: reader.events == [1, 2], "the second event")
    assert reader.state()["label"] == "washer"
    late = read(broker.port)
    wait_until(late.state, "the retained state")
    assert late.state()["label"] == "washer"
    assert late.state()["top"][0] == {"label": "gear", "score": 0.75}
    assert f"{TOPIC}/state" in late.retained
    assert f"{TOPIC}/event" not in late.last


def test_between_events_the_state_is_published_now_and_then(broker, read, start):
    reader = read(broker.port)
    worker = start(broker.port)
    wait_until(lambda: reader.available() == b"online", "online")
    for index in range(500):
        worker.publish(make_answer(index))
        time.sleep(0.001)
    wait_until(reader.state, "a state")
    assert worker.status().written <= 2


def test_a_file_waits_until_the_broker_has_each_of_its_events(broker, read):
    reader = read(broker.port)
    output = Mqtt(Broker("127.0.0.1", broker.port, False, None), "home", 2, discovery=False)
    worker = OutputWorker(output, live=False)
    wait_until(lambda: reader.available() == b"online", "online")
    for index in range(500):
        worker.publish(make_answer(index, event=True))
    worker.close(60)
    assert (worker.status().written, worker.status().dropped) == (500, 0)
    wait_until(lambda: len(reader.events) == 500, "the last event")


def test_closing_says_goodbye(broker, read, start):
    reader = read(broker.port)
    worker = start(broker.port)
    wait_until(lambda: reader.available() == b"online", "online")
    worker.close(10)
    wait_until(lambda: reader.available() == b"offline", "offline")


def test_a_killed_broker_blocks_nothing_and_events_arrive_when_it_is_back(
    broker, road, read, start
):
    reader = read(broker.port)
    worker = start(road.port)
    wait_until(lambda: reader.available() == b"online", "online")
    worker.publish(make_answer(1, event=True))
    wait_until(lambda: reader.events == [1], "the event")
    road.open = False
    broker.kill()
    start_s = time.monotonic()
    for number in range(2, 12):
        for index in range(200):
            worker.publish(make_answer(index))
        worker.publish(make_answer(number, event=True))
    assert time.monotonic() - start_s < 10
    last = 11

    def notices():
        """Until the client knows that the broker is gone, it takes events and keeps them."""
        nonlocal last
        if not worker.status().error:
            last += 1
            worker.publish(make_answer(last, event=True))
        return worker.status().error

    wait_until(notices, "the failure")
    broker.start()
    # Mosquitto forgot its clients: who listens must be there before the events are.
    reader = read(broker.port)
    road.open = True
    wait_until(lambda: set(reader.events) >= set(range(2, last + 1)), "all events")
    assert sorted(set(reader.events)) == list(range(2, last + 1))
    wait_until(lambda: reader.available() == b"online", "online again")
    wait_until(lambda: worker.status().error == "", "recovery")


def test_a_broker_that_is_absent_at_the_start_is_no_reason_to_stop(tmp_path, broker, read, start):
    broker.kill()
    worker = start(broker.port)
    worker.publish(make_answer(1, event=True))
    wait_until(lambda: worker.status().error, "the failure")
    assert f"127.0.0.1:{broker.port}" in worker.status().error
    broker.start()
    reader = read(broker.port)
    wait_until(lambda: worker.status().written == 1, "the event")
    wait_until(lambda: reader.state().get("label") == "gear", "the state")


def test_a_killed_classifier_becomes_offline_by_its_last_will(broker, read):
    reader = read(broker.port)
    with run_camera(broker.port) as process:
        try:
            wait_until(lambda: reader.last.get("home/door/availability") == b"online", "online")
        finally:
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: reader.last["home/door/availability"] == b"offline", "the last will")


def test_a_password_from_the_environment_opens_the_broker(locked_broker, read, start, monkeypatch):
    reader = read(locked_broker.port, ("camera", "s3cret"))
    monkeypatch.setenv("EDGETL_MQTT_PASSWORD", "s3cret")
    worker = start(locked_broker.port, user="camera")
    worker.publish(make_answer(1, event=True))
    wait_until(lambda: reader.events == [1], "the event")


def test_a_wrong_password_is_said_so_and_not_shown(locked_broker, start, monkeypatch):
    monkeypatch.setenv("EDGETL_MQTT_PASSWORD", "wr0ng")
    worker = start(locked_broker.port, user="camera")

    def refused():
        worker.publish(make_answer(1, event=True))
        return "refused" in worker.status().error

    wait_until(refused, "the refusal")
    assert "EDGETL_MQTT_PASSWORD" in worker.status().error
    assert "wr0ng" not in worker.status().error


def test_a_password_that_is_no_text_is_refused(broker, start, monkeypatch, wording):
    monkeypatch.setenv("EDGETL_MQTT_PASSWORD", "s3cret\udcff")
    with pytest.raises(OptionsError, match=wording) as caught:
        start(broker.port, user="camera")
    assert "s3cret" not in str(caught.value)


def test_home_assistant_finds_label_score_and_availability(broker, read, start):
    reader = read(broker.port)
    start(broker.port)
    wait_until(lambda: reader.available() == b"online", "online")
    late = read(broker.port)
    device = re.sub(r"\W", "_", TOPIC, flags=re.ASCII)
    topics = {
        name: f"homeassistant/{kind}/{device}/{name}/config"
        for kind, name in (("sensor", "label"), ("sensor", "score"), ("binary_sensor", "online"))
    }
    wait_until(lambda: set(topics.values()) <= late.retained, "the announcements")
    label, score, online = (json.loads(late.last[topic]) for topic in topics.values())
    assert label["state_topic"] == label["json_attributes_topic"] == f"{TOPIC}/state"
    assert label["availability_topic"] == online["state_topic"] == f"{TOPIC}/availability"
    assert online["device_class"] == "connectivity"
    assert (online["payload_on"], online["payload_off"]) == ("online", "offline")
    assert len({one["unique_id"] for one in (label, score, online)}) == 3
    assert label["device"] == score["device"] == online["device"]
    assert label["device"]["identifiers"] == [device]


def test_a_camera_that_is_lost_is_offline_until_it_is_back(broker, read, start):
    reader = read(broker.port)
    worker = start(broker.port)
    wait_until(lambda: reader.available() == b"online", "online")
    worker.publish(make_answer(1, event=True, stale=True))
    wait_until(lambda: reader.available() == b"offline", "offline")
    worker.publish(make_answer(2, event=True))
    wait_until(lambda: reader.available() == b"online", "online again")


def test_without_discovery_nothing_is_announced(broker, read, start):
    reader = read(broker.port)
    start(broker.port, discovery=False)
    wait_until(lambda: reader.available() == b"online", "online")
    assert not [topic for topic in reader.last if topic.startswith("homeassistant")]


def test_a_host_that_never_answers_blocks_nothing(start):
    """A half-open port: it takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = start(server.getsockname()[1])
        start_s = time.monotonic()
        for index in range(1000):
            worker.publish(make_answer(index, event=True))
        worker.close(1.0)
        assert time.monotonic() - start_s < 10


class Hostile(socketserver.ThreadingTCPServer):
    """Takes each client, and then sends it whatever it was told to."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, says: bytes, then: Callable[[socket.socket], None] = lambda _: None) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.request.recv(4096)
                    self.request.sendall(says)
                    then(self.request)

        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]

    def __enter__(self) -> "Hostile":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def test_a_broker_that_sends_without_end_fills_no_memory(start):
    """After its yes, a message of 256 MB on a topic that nobody asked for."""
    taken: list[int] = []

    def flood(client: socket.socket) -> None:
        taken.append(0)
        for _ in range(300):
            client.sendall(bytes(100_000))
            taken[-1] += 100_000

    with Hostile(b"\x20\x02\0\0" + b"\x30\xff\xff\xff\x7f\0\x03a/b", flood) as broker:
        worker = start(broker.port)
        # It is left, and asked again.
        wait_until(lambda: len(taken) > 1, "another try")
        assert taken[0] < 20_000_000
        worker.close(1)


def read_for_ever(client: socket.socket) -> None:
    while client.recv(65_536):
        pass


def test_the_farewell_to_a_broker_that_confirms_nothing_is_no_traceback(wording):
    """A hundred messages wait for its word; the thread would end before it gave the name back."""
    with Hostile(b"\x20\x02\0\0", read_for_ever) as server:
        broker = Broker("127.0.0.1", server.port, False, None)
        output = Mqtt(broker, "home", 2, name="door", discovery=False)
        with pytest.raises(UndeliveredError, match=wording):
            for index in range(200):
                output.write(make_answer(index, event=True))
        output.close()
        Mqtt(broker, "home", 2, name="door", discovery=False).close()


@pytest.mark.parametrize(
    ("says", "trouble"),
    [
        (b"\x20\x02\0\x09", "refused"),
        (b"\x20\x02\0\x05", "refused (Not authorized); is EDGETL_MQTT_PASSWORD correct?"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is a broker there, or does it need mqtts://?"),
        # What a server of TLS says to what is no greeting of TLS.
        (b"\x15\x03\x01\0\x02\x02\x46", "is a broker there, or does it need mqtts://?"),
        (b"", "is a broker there, or does it need mqtts://?"),
    ],
)
def test_what_a_server_says_that_is_no_broker_is_told_in_plain_words(start, says, trouble):
    with Hostile(says) as server:
        said = find_trouble(start(server.port))
        assert said.endswith(trouble)
        assert "Unspecified" not in said


@pytest.mark.parametrize(
    "address",
    ["mqtt://h:99999", "mqtt://h:0", "mqtt://h:x", "mqtt://joe:pass?#/@word@h:1883", "mqtt://[h"],
)
def test_an_address_with_an_odd_port_or_password_says_what_may_be_wrong(address, wording):
    with pytest.raises(OptionsError, match=wording):
        parse_broker(address)


def test_an_ordinary_start_has_nothing_to_report(broker, read, start, capfd):
    reader = read(broker.port)
    worker = start(broker.port)
    worker.publish(make_answer(1, event=True))
    wait_until(lambda: reader.events == [1], "the event")
    assert capfd.readouterr().err == ""


def test_two_cameras_with_names_of_their_own_share_nothing(broker, read, start):
    reader = read(broker.port)
    door, yard = start(broker.port, name="door"), start(broker.port, name="yard")
    for worker in (door, yard):
        worker.publish(make_answer(1, event=True))
    wait_until(lambda: reader.last.keys() >= {"home/door/event", "home/yard/event"}, "both")
    door.close()
    wait_until(lambda: reader.last.get("home/door/availability") == b"offline", "the farewell")
    assert reader.last["home/yard/availability"] == b"online"
    announced = [json.loads(data) for topic, data in reader.last.items() if "/config" in topic]
    assert len(announced) == 6
    assert len({one["unique_id"] for one in announced}) == 6
    assert {one["device"]["name"] for one in announced} == {"Camera door", "Camera yard"}


def test_names_that_spell_alike_are_two_devices(broker, read, start):
    reader = read(broker.port)
    for name in ("front-door", "front_door", "front.door"):
        start(broker.port, name=name)
    wait_until(lambda: sum("/config" in topic for topic in reader.last) == 9, "nine entities")


@pytest.mark.parametrize(("host", "topic"), [("pi.local", "home/pi_local"), ("", "home/camera")])
def test_without_a_name_a_camera_has_its_hosts(broker, read, monkeypatch, host, topic):
    monkeypatch.setattr(platform, "node", lambda: host)
    reader = read(broker.port)
    output = Mqtt(Broker("127.0.0.1", broker.port, False, None), "home", 2)
    wait_until(lambda: f"{topic}/availability" in reader.last, "online")
    output.close()


def test_a_container_needs_a_name(broker, monkeypatch, wording):
    monkeypatch.setattr(platform, "node", lambda: "0f3c5a7b9d1e")
    with pytest.raises(OptionsError, match=wording):
        Mqtt(Broker("127.0.0.1", broker.port, False, None), "home", 2)


def test_the_same_name_twice_on_one_board_is_refused(broker, start, wording):
    first = start(broker.port, name="door")
    with pytest.raises(OptionsError, match=wording):
        start(broker.port, name="door")
    first.close()
    start(broker.port, name="door")


def test_a_camera_that_comes_back_soon_stays_online(broker, road, read):
    """A board that lost power says no goodbye; its old session's last will must not win."""
    reader = read(broker.port)
    online = lambda: reader.last.get("home/door/availability") == b"online"  # noqa: E731
    before = run_camera(road.port)
    wait_until(online, "online")
    # The broker hears nothing of its end, as when the network went with the power.
    before.send_signal(signal.SIGSTOP)
    reader.last.pop("home/door/availability")
    after = run_camera(broker.port)
    wait_until(online, "online again")
    before.kill()
    before.wait()
    time.sleep(1)
    assert online()
    after.kill()
    after.wait()


def run_camera(port: int) -> "subprocess.Popen[bytes]":
    code = (
        "import sys, time\n"
        "from edgetl_runtime.outputs.mqtt import Broker, Mqtt\n"
        "Mqtt(Broker('127.0.0.1', int(sys.argv[1]), False, None), 'home', 2, name='door')\n"
        "time.sleep(60)\n"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(port)])


# paho leaves the socket of a failed handshake to the garbage collector.
leaky_paho = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def listen(authority: Any, folder: Path, name: str = "broker", **signing: object) -> Mosquitto:
    certificate, key = authority.sign(name, **signing)
    required = str(name == "strict").lower()
    return Mosquitto(
        folder,
        f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n"
        f"cafile {authority.ca}\nrequire_certificate {required}\n",
    )


@contextlib.contextmanager
def connect(port: int, identity: Identity, host: str = "127.0.0.1") -> Iterator[OutputWorker]:
    output = Mqtt(Broker(host, port, True, None), "home", 2, name="door", identity=identity)
    worker = OutputWorker(output, live=True)
    yield worker
    worker.close()


def find_trouble(worker: OutputWorker) -> str:
    worker.publish(make_answer(1, event=True))
    wait_until(lambda: worker.status().error, "the failure")
    return worker.status().error


@leaky_paho
def test_a_broker_with_ones_own_certificate_is_trusted_by_its_ca(authority, tmp_path):
    broker = listen(authority, tmp_path)
    with connect(broker.port, Identity("mqtt", ca=str(authority.ca))) as worker:
        worker.publish(make_answer(1, event=True))
        wait_until(lambda: worker.status().written == 1, "the event")
    with connect(broker.port, Identity("mqtt")) as worker:
        assert find_trouble(worker) == (
            f"127.0.0.1:{broker.port}: its certificate is not trusted; give the CA that signed it: "
            "--mqtt-ca FILE"
        )
    broker.kill()


@leaky_paho
def test_a_broker_that_demands_a_certificate_is_shown_ours(authority, tmp_path):
    broker = listen(authority, tmp_path, "strict")
    certificate, key = map(str, authority.sign("board"))
    ca = str(authority.ca)
    with connect(broker.port, Identity("mqtt", ca=ca, cert=certificate, key=key)) as worker:
        worker.publish(make_answer(1, event=True))
        wait_until(lambda: worker.status().written == 1, "the event")
    with connect(broker.port, Identity("mqtt", ca=ca)) as worker:
        assert "it requires a client certificate: --mqtt-cert" in find_trouble(worker)
    broker.kill()


@leaky_paho
@pytest.mark.parametrize(
    ("signing", "trouble"),
    [
        ({"host": "DNS:elsewhere"}, "its certificate is for another name"),
        ({"days": -1}, "its certificate has expired, or the clock"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(authority, tmp_path, signing, trouble):
    broker = listen(authority, tmp_path, "wrong", **signing)
    with connect(broker.port, Identity("mqtt", ca=str(authority.ca))) as worker:
        assert trouble in find_trouble(worker)
    broker.kill()


@leaky_paho
def test_a_broker_without_tls_is_said_so(broker):
    with connect(broker.port, Identity("mqtt")) as worker:
        assert "does it speak TLS, and is the port correct?" in find_trouble(worker)


@leaky_paho
def test_a_broker_that_is_not_running_and_a_name_that_is_unknown_are_told_apart(broker, start):
    broker.kill()
    assert "the connection was refused" in find_trouble(start(broker.port))
    with connect(broker.port, Identity("mqtt"), "no-such-host.invalid") as worker:
        assert "its name cannot be resolved" in find_trouble(worker)


@pytest.mark.parametrize(
    ("identity", "complaint"),
    [
        (("no.pem", None, None), "--mqtt-ca: no.pem cannot be used .No such file"),
        (("KEYLESS", None, None), "--mqtt-ca: .* cannot be used .no certificate in PEM"),
        (("CAKEY", None, None), "--mqtt-ca: .* .no certificate in PEM"),
        ((None, "CERT", "CERT"), "--mqtt-key: .* .no key in PEM"),
        ((None, "CAKEY", None), "--mqtt-cert: .* .no certificate in PEM"),
        ((None, "CAKEY", "CAKEY"), "--mqtt-cert: .* .no certificate in PEM"),
        ((None, None, "board.key"), "--mqtt-key needs its certificate: --mqtt-cert"),
        ((None, "CERT", "CAKEY"), "--mqtt-key: .*ca.key .* not the key of .*; give the correct"),
        ((None, "CERT", None), "--mqtt-cert: .* without its key.; give .* --mqtt-key FILE"),
        (
            (None, "MIXED", None),
            "--mqtt-cert: .* .its key belongs to another certificate.; give .* --mqtt-key FILE",
        ),
        ((None, "CERT", "KEYLESS"), "--mqtt-key: .*keyless cannot be used .no key in PEM"),
        ((None, "CERT", "LOCKED"), "--mqtt-key: .*locked .* has a password.; store it without"),
        (("PIPE", None, None), "--mqtt-ca: .*pipe cannot be used .it is not a plain file"),
        ((None, "PIPE", None), "--mqtt-cert: .*pipe cannot be used .it is not a plain file"),
        (
            (None, "CERT", "/dev/zero"),
            "--mqtt-key: /dev/zero cannot be used .it is not a plain file",
        ),
        ((None, "KEYLESS", "CAKEY"), "--mqtt-cert: .*keyless cannot be used .no certificate in"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(authority, tmp_path, identity, complaint):
    cert, key = authority.sign("board")
    other = authority.ca.with_suffix(".key")
    keyless, mixed, locked = (tmp_path / name for name in ("keyless", "mixed", "locked"))
    os.mkfifo(tmp_path / "pipe")
    keyless.write_text("hello")
    mixed.write_text(cert.read_text() + other.read_text())
    lock = ["openssl", "pkey", "-in", key, "-out", locked, "-aes256", "-passout", "pass:secret"]
    subprocess.run(lock, check=True, capture_output=True)
    places = {
        "PIPE": str(tmp_path / "pipe"),
        "KEYLESS": str(keyless),
        "MIXED": str(mixed),
        "LOCKED": str(locked),
        "CERT": str(cert),
        "CAKEY": str(other),
    }
    files = [places.get(one, one) for one in identity]
    with pytest.raises(OptionsError, match=complaint):
        Identity("mqtt", *files).make_context()


def test_a_ca_for_a_connection_without_tls_is_refused(broker, wording):
    plain = Broker("127.0.0.1", broker.port, False, None)
    with pytest.raises(OptionsError, match=wording):
        Mqtt(plain, "home", 2, identity=Identity("mqtt", "x"))
