"""What surrounds the developer's process on the laptop."""
