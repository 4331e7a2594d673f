"""One module for each generated page: a function that returns the page's text."""
