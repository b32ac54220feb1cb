"""The first random batch as one picture: `python scripts/show_batch.py data.root=FOLDER sampler=chunked`."""

from lit_video.commands.show_batch import main

if __name__ == "__main__":
    main()
