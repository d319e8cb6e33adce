"""Namespaces, peers, captures and scenarios that put Bordergate in front of real traffic."""
