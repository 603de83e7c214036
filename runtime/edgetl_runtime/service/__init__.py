"""What lets a classifier run for months: lock, watchdog, reload, doctor, systemd unit."""
