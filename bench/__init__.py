"""Measure speed and size: `make bench` prints the table.

A figure by itself says as much about the machine as about Nagoya. So each is compared with a floor,
the least time or size that the same machine needs in the same run.
"""
