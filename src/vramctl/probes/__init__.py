"""Edges that look at this machine and at models: files, ranges of URLs, NVML, /proc."""
