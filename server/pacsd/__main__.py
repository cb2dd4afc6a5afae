"""`python -m pacsd` is `pacsd`."""

from pacsd.cli import main

if __name__ == "__main__":
    main()
