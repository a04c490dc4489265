"""Any record to text, JSON or an engine's configuration; pure."""
