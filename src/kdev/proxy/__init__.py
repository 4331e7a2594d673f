"""The splice: forwards bytes untouched and reads along only to find where messages begin."""
