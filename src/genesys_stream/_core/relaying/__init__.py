"""Text that is relayed: queued, cut, paced, put into payloads, and accounted for."""
