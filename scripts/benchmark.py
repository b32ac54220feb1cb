"""Compare ways to load random frames: `python scripts/benchmark.py run FOLDER`; see `--help`."""

from lit_video.commands.bench import main

if __name__ == "__main__":
    main()
