"""Index and decode damaged videos by the thousand: `python scripts/fuzz.py --mutants 2000`."""

from lit_video.commands.fuzz import main

if __name__ == "__main__":
    main()
