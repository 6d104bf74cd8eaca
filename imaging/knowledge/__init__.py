"""The knowledge base: what patterns are more often described in, with the evidence for and against, and its source.

Entries stand in ``entries/*.toml``, what a person can tell in ``context.toml``, organs and regions in ``sites.toml``.
"""
