"""Puts this folder on the import path, so that tests in any folder can use its writers of test files."""
