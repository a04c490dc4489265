"""Well-known models as headers: shapes, metadata and quantisation mixes, with sources; no weights."""
