"""Parity: what a laptop, CI and a server run is the same, and that is measured."""
