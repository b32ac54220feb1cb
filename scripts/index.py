"""Index videos, and check the index: `python scripts/index.py FOLDER --verify`."""

from lit_video.commands.index import main

if __name__ == "__main__":
    main()
