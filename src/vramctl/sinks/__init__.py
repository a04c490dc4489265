"""Points and events to elsewhere: files that other programs read."""
