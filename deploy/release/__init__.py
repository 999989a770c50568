"""Release: packages that anybody can build again, and what is said of them."""
