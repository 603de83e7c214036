"""What commands print."""


def print_json(record: object) -> None:
    """Prints one line of JSON."""
    import msgspec

    print(msgspec.json.encode(record).decode(), flush=True)
