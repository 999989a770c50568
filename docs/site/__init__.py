"""The site: how docs/ becomes pages, and what is written there by a program.

The Markdown is read on a code host as it stands, so nothing in it is meant for the site
alone: no directives, and links from file to file. What a site needs beside that, such as
an order of the pages, is found in the pages (`contents.py`).
"""
