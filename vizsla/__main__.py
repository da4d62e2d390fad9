"""`python -m vizsla` is `vizsla`."""

from vizsla.cli.main import main

if __name__ == "__main__":
    main()
