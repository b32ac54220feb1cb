"""Options that other projects compose: a Hydra search path."""
