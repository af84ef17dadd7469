"""Strategies as plug-ins: found in files, loaded, and proven before anyone times or trains them."""
