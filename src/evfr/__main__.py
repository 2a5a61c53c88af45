"""Run the command line: ``python -m evfr``."""

from evfr.cli import main

if __name__ == "__main__":
    main()
