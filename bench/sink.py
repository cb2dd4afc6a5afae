"""Start the harness's trivial storage SCP; `python bench/sink.py --help` lists its options."""

from harness.sink import main

if __name__ == "__main__":
    main()
