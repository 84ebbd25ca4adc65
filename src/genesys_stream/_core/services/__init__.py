"""Push services: their messages, and what their answers mean."""
