"""The options of the commands that Hydra composes."""
