#!/usr/bin/env bash
# Installs from Debian what tests talk to for real: three browsers, an MQTT broker, ffmpeg, a
# reverse proxy, an RTSP server; and npm, which builds the phone's page. Where that cannot be, it
# ends with 1, and those tests skip.
set -euo pipefail
missing=()
need() {  # COMMAND PACKAGE...
    command -v "$1" >/dev/null || missing+=("${@:2}")
}
need chromium chromium fonts-dejavu-core
need firefox-esr firefox-esr
# MiniBrowser is of the library's package, and has no place on the PATH.
need WebKitWebDriver webkit2gtk-driver libwebkit2gtk-4.1-0
need Xvfb xvfb
need npm nodejs npm
need mosquitto mosquitto
need ffmpeg ffmpeg
need promtool prometheus
need nginx nginx-light
need openssl openssl
need certutil libnss3-tools
need gcc gcc libc6-dev
need systemd-analyze systemd
/usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null ||
    missing+=(python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base
        gstreamer1.0-plugins-good)
if [ ${#missing[@]} = 0 ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing, and no right to install: ${missing[*]}; their tests will skip" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
    { echo "cannot be installed: ${missing[*]}; their tests will skip" >&2; exit 1; }
