"""trailproxy: an HTTP/2 reverse proxy that never loses a trailer.

The rooms, and who may import whom (a test enforces it)::

    app, cli, demo      where all rooms meet
    supervisor, worker  the same in several processes: post, control
    reloads, watch      when the configuration is taken up anew
    descriptors         how many files the process may open
    handover            listening sockets that go from one process to the next
    admin_page          where operators ask, and who of them may
    telling             what a process tells of itself: log, meters, spans
    outlook             what a process tells whoever looks on
    probe               a client and an origin that tell what a path keeps; not of the proxy
    completion          what a shell completes of the command line
    replay              sends captured requests again, with the probe's client
    net | ops           sockets and TLS | what operators write and see
    core                what a proxy does; synchronous, no sockets, no asyncio
    wire                bytes to events and back; no policy, no clock

Glossary, one word per thing:

downstream / upstream   the client's side / the backend's side
connection              the streams on one socket
stream                  one id on one connection
exchange                a request and its response
lane                    one direction of an exchange
source / sink           the streams a lane joins
part                    a head, a piece of data, or trailers
credit                  window bytes owed back to a source
park / depart           to wait in a lane / to leave it
ending                  how a lane ended
fault                   what went wrong, and whose it is
record                  what happened in an exchange
snapshot                the compiled configuration
witness / timeline      who looks on at an exchange / what it writes down of it
gallery                 the witnesses of a process, while anybody wants to know
origin                  the connections to one upstream; of `probe`: the server behind the hop
endpoint                one address of an upstream
attempt                 one stream to an upstream for an exchange; a retry is another
worker / post           one of several processes / its place, and whichever process has it
reading                 what the meters of a process show at one moment
"""

from trailproxy.flavour import prefer_source

__version__ = "0.1.0"

prefer_source()
