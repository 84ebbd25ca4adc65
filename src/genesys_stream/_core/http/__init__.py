"""Requests, replies, retries and tokens: what is said to a service, as values and generators."""
