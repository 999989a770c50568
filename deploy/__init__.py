"""deploy: what is shipped beside the package, for whoever runs it."""
