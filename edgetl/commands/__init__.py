"""The larger commands of `edgetl`, one module a command or group."""
