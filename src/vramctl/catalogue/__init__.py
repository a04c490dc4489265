"""GPUs and their memory as drivers report it: data with sources."""
