"""Decode once, and keep it: `python scripts/store.py fill data.root=FOLDER data.store=auto`."""

from lit_video.commands.store import main

if __name__ == "__main__":
    main()
