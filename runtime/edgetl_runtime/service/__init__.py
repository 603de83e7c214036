"""Unattended operation: lock, watchdog, reload, doctor, systemd unit."""
