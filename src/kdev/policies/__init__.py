"""What may come in and go out: the filter grammar, parsed and compiled to pure decisions."""
