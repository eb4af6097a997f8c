#!/usr/bin/env python3
"""Prepare canonical portraits for training face restoration, out of a folder of photographs.

    python scripts/prepare_portraits.py PHOTOGRAPHS PORTRAITS

Needs the extra "faces".
"""

import sys
from pathlib import Path

from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.models import FaceModels
from livemoments.faces.portraits import prepare_portraits


def main(source: Path, folder: Path) -> None:
    """Prepare every photograph of a folder."""
    models = FaceModels()
    paths = [p for p in sorted(source.iterdir()) if p.suffix.lower() in (".png", ".jpg", ".jpeg")]
    rows = prepare_portraits(paths, folder, FaceFinder(models), Embedder(models))
    people = len({row.person for row in rows})
    sys.stdout.write(f"{len(rows)} portraits of {people} people in {folder}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
