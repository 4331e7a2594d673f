"""Commands, progress and the rendering of errors; the only room that prints."""
