"""Switches a relay on a Raspberry Pi's pin while a label is seen: a gate, a lamp, a reject arm.

python relay.py parts.bundle gear --pin 17 [--source picamera]

Needs gpiozero (`pip install gpiozero lgpio`; Raspberry Pi OS has it). The relay falls off when
the script ends, when the label is unknown, and when the camera is lost, since then the label is
None, too.
"""

import argparse

from gpiozero import OutputDevice

from edgetl_runtime import Settings, SmoothingSettings, watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("label")
    parser.add_argument("--pin", type=int, default=17, help="BCM number (default 17)")
    parser.add_argument("--source", default="0")
    options = parser.parse_args()
    # A relay should not chatter: a label must lead for half a second's worth of frames.
    settings = Settings(smoothing=SmoothingSettings(method="majority", frames=15, hold=8))
    with OutputDevice(options.pin) as relay:
        for answer in watch(options.bundle, options.source, settings):
            relay.value = answer.label == options.label
            if answer.event:
                print(f"{answer.label}: relay {'on' if relay.value else 'off'}", flush=True)


if __name__ == "__main__":
    main()
