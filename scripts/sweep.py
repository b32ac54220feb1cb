"""Rank the jobs of a sweep again, or of one that was broken off: `python scripts/sweep.py multirun/DATE/TIME`."""

from lit_video.commands.sweep import main

if __name__ == "__main__":
    main()
