"""probe: does a path keep its trailers? A client, an origin, and what one says of the other.

Both speak with our codec and nothing between: a probe must see what came, not what a
proxy would make of it. What is sent is data (`script`), so that the origin that plays it
and the client that judges it cannot disagree. Nothing here is loaded by `trailproxy run`.
"""
