"""ops: what operators write and see. It has never heard of sockets, nor of a codec."""
