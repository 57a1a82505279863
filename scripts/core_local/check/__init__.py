"""The self-check: HTTP and websocket calls to a local core, as a worker and its tests make them."""
