"""Decides everything: no I/O, no clock, no lock, no thread, no logging; the time is an argument."""
