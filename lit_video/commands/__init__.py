"""`lit-video` and its subcommands, a module each; `scripts/` are one line each that call them.

Parsers are made without torch, and what runs is imported when it runs. Nothing imports this.
"""
