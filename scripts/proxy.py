"""A data set once more, small: `python scripts/proxy.py FOLDER PROXIES`."""

from lit_video.commands.proxy import main

if __name__ == "__main__":
    main()
