"""Model and devices to a Plan: pure functions of records."""
