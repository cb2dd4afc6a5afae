"""pacsd on an index of a million studies; bench/README.md says how, `python bench/index.py --help` with what."""

from scale.command_line import main

if __name__ == "__main__":
    main()
