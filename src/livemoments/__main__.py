"""Run `python -m livemoments`, the same as `livemoments`."""

from livemoments.cli import main

if __name__ == "__main__":
    main()
