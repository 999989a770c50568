"""core: what a proxy does. Synchronous. No asyncio, no h2, no sockets."""
