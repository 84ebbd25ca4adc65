"""Genesys Cloud completions, streamed and relayed to phones."""
