"""replay: captured requests, sent again. What comes back is held to what was captured.

It speaks with the probe's client. What was masked when it was captured is not made up:
it is left out, and said. Nothing here is loaded by `trailproxy run`.
"""
