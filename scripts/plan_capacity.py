"""What a data set and a rate ask of machines: `python scripts/plan_capacity.py --files 1000 --frames 300000 ...`."""

from lit_video.commands.plan_capacity import main

if __name__ == "__main__":
    main()
