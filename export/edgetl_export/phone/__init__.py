"""A bundle on a phone: the web page that runs it, as a static folder."""
