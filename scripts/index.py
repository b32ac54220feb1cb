"""Index videos, and check the index: `python scripts/index.py FOLDER --verify`."""

from lit_video.index_command import main

if __name__ == "__main__":
    main()
