"""Say in one screen what works on this machine: `python scripts/doctor.py`."""

from lit_video.commands.doctor import main

if __name__ == "__main__":
    main()
