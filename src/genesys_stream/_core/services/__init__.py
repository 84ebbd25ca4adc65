"""Services beside Genesys Cloud's gateway and pushes: their payloads, and their errors as ours."""
