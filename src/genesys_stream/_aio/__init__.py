"""The async shell, for asyncio and trio: touches bytes, tasks and sleeps, and leaves every meaning to the core."""
