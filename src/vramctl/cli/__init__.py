"""One file a command: options in, job, text out, exit code."""
