"""The blocking shell: touches bytes, locks and sleeps, and leaves every meaning to the core."""
