"""Rank the jobs of a sweep again, or of one that was broken off: `python scripts/sweep.py multirun/DATE/TIME`."""

import argparse
from pathlib import Path

from lit_video.support.errors import told_in_a_sentence
from lit_video.sweep.report import report


def main() -> None:
    """Write the report into the sweep's folder, as the sweep itself does at its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the sweep, with the jobs' folders in it")
    with told_in_a_sentence():
        report(parser.parse_args().folder)


if __name__ == "__main__":
    main()
