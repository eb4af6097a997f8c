"""`python -m livemoments` is the same as `livemoments`."""

from livemoments.cli import main

if __name__ == "__main__":
    main()
