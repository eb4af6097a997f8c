"""Programs of this machine that tests compare with."""

import subprocess


def exiftool(path, *options):
    """(group, tag, value) of all that exiftool reads."""
    command = ["exiftool", "-a", "-G1", "-s", "-n", *options, str(path)]
    text = subprocess.run(command, capture_output=True, text=True, errors="replace").stdout
    lines = [line for line in text.splitlines() if line.startswith("[") and ":" in line]
    split = [(line[1:].split("]", 1)[0], *line.split("]", 1)[1].split(":", 1)) for line in lines]
    return [(group, tag.strip(), value.strip()) for group, tag, value in split]
