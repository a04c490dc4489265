"""Evidence to findings: one function a cause, listed in causal order."""
