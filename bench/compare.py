"""Compare DICOM servers on this machine; bench/README.md says how, `python bench/compare.py --help` with what."""

from harness.command_line import main

if __name__ == "__main__":
    main()
