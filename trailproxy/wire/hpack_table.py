"""The tables of HPACK (RFC 7541 section 2.3 and appendix A)."""

from typing import Final, final

from mypy_extensions import i64

from trailproxy.wire.field import Field, share

_SLACK: Final = 64  # evicted entries that may lie in front before the list is cut

_STATIC: Final = """\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate"""


def _static_fields() -> list[Field]:
    fields = [Field(b"", b"")]  # places count from 1
    for place, line in enumerate(_STATIC.split("\n"), 1):
        name, _, value = line.partition(" ")
        field = share(Field(name.encode(), value.encode()))
        field.static = place
        fields.append(field)
    return fields


#: The static table, from place 1.
STATIC: Final = _static_fields()
STATIC_SIZE: Final = 61

#: The first place of each name in the static table.
NAME_PLACE: Final[dict[bytes, int]] = {
    field.name: place for place, field in reversed(list(enumerate(STATIC))) if place
}


def name_place(field: Field) -> i64:
    """Return the first place of a field's name in the static table, or 0."""
    if field.static_name < 0:
        field.static_name = NAME_PLACE.get(field.name, 0)
    return field.static_name


def static_place(field: Field) -> i64:
    """Return the place of this very field in the static table, or 0."""
    place = name_place(field)
    if place:
        while place <= STATIC_SIZE and STATIC[place].name == field.name:
            if STATIC[place].value == field.value:
                return place
            place += 1
    return 0


@final
class DynamicTable:
    """The fields both ends remember, the newest first (section 2.3.2)."""

    __slots__ = ("_entries", "_first", "_size", "changes", "evicted", "inserted", "limit")

    def __init__(self, limit: i64) -> None:
        self.limit: i64 = limit  # octets
        self.inserted: i64 = 0  # entries ever
        self.evicted: i64 = 0  # entries ever
        self.changes: i64 = 0  # of entries or limit
        self._entries: list[Field] = []  # the oldest first
        self._first: i64 = 0  # where the live ones begin
        self._size: i64 = 0

    def get(self, place: i64) -> Field | None:
        """Return the entry at `place`, 1 being the newest; None beyond the oldest."""
        if place < 1 or place > self.inserted - self.evicted:
            return None
        return self._entries[len(self._entries) - place]

    def replace(self, place: i64, field: Field) -> None:
        """Let another object stand at `place` for the same field."""
        self._entries[len(self._entries) - place] = field

    def add(self, field: Field) -> None:
        """Insert an entry; the oldest make room. One larger than the table empties it."""
        self.changes += 1
        size = field.size
        self._shrink(self.limit - size)
        if size <= self.limit:
            self._entries.append(field)
            self._size += size
            self.inserted += 1

    def resize(self, limit: i64) -> None:
        """Change the limit, and evict what is beyond it (section 4.3)."""
        self.changes += 1
        self.limit = limit
        self._shrink(limit)

    def _shrink(self, most: i64) -> None:
        while self._size > most and self.evicted < self.inserted:
            self._size -= self._entries[self._first].size
            self._first += 1
            self.evicted += 1
        if self._first > _SLACK or self.evicted == self.inserted:
            del self._entries[: self._first]
            self._first = 0
