"""The words of the project, and what makes a site and a reference of them."""
