"""`python -m snakedvc` is `snakedvc`."""

from snakedvc.cli.main import main

if __name__ == "__main__":
    main()
