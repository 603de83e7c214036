"""Discovery messages that announce a camera to Home Assistant over MQTT.

Source: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery: one retained JSON document
for each entity at `homeassistant/COMPONENT/DEVICE/ENTITY/config`.
"""

import msgspec

from edgetl_runtime import __version__

_PREFIX = "homeassistant"


def announce(device: str, name: str, state: str, availability: str) -> dict[str, bytes]:
    """The retained messages that announce label, score and availability.

    Args:
        device: Unique among devices, of letters, digits and underscores.
        name: For people.
        state: Topic of the state.
        availability: Topic of `online` and `offline`.

    Returns:
        Topic -> payload.
    """
    shared: dict[str, object] = {
        "device": {
            "identifiers": [device],
            "name": name,
            "manufacturer": "edgetl",
            "model": "camera classifier",
            "sw_version": __version__,
        },
        "origin": {"name": "edgetl-run", "sw_version": __version__},
    }
    label = {
        "name": "Label",
        "unique_id": f"{device}_label",
        "state_topic": state,
        # A state of Home Assistant has at most 255 characters.
        "value_template": "{{ (value_json.label or 'no label')[:255] }}",
        "json_attributes_topic": state,
        "availability_topic": availability,
        "icon": "mdi:camera-iris",
    }
    score = {
        "name": "Score",
        "unique_id": f"{device}_score",
        "state_topic": state,
        "value_template": "{{ (value_json.score * 100) | round(1) }}",
        "unit_of_measurement": "%",
        "state_class": "measurement",
        "availability_topic": availability,
        "icon": "mdi:percent",
    }
    online = {
        "name": "Online",
        "unique_id": f"{device}_online",
        "state_topic": availability,
        "payload_on": "online",
        "payload_off": "offline",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
    }
    entities = {
        f"sensor/{device}/label": label,
        f"sensor/{device}/score": score,
        f"binary_sensor/{device}/online": online,
    }
    return {
        f"{_PREFIX}/{path}/config": msgspec.json.encode({**entity, **shared})
        for path, entity in entities.items()
    }
