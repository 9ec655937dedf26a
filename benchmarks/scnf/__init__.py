"""Benchmarks of the semi-conditional flow; each module says its own protocol."""
