"""Push services and messaging: what each takes, and what its answers mean."""
