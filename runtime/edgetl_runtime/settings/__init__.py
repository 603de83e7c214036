"""Every option of the device, once: sections, the TOML file and the flags made of them."""
