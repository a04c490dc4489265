"""Bytes to records (and the one way back that stand-ins need); no files are opened here."""
