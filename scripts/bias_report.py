"""Which sampler for these videos, and why: `python scripts/bias_report.py data.root=FOLDER`."""

from lit_video.commands.bias import main

if __name__ == "__main__":
    main()
