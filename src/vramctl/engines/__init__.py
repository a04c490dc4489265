"""Edges that ask an engine; heavy imports happen inside, on use, and in child processes."""
