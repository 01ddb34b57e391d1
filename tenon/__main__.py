"""`python -m tenon` is `tenon`."""

from tenon.cli.app import main

if __name__ == "__main__":
    main()
