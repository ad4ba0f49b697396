"""Speed and size, measured: `make bench` prints the table.

A figure by itself says as much about the machine as about Nagoya. So each is taken beside a floor,
the least that the same machine can do in the same run, and the ratio of the two is what counts.
"""
