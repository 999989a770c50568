"""net: asyncio, sockets, TLS, dialling. Has never heard of what trailers mean."""
