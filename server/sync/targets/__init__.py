"""The ticketing systems that sync writes to.

target.py   the Protocol: what sync needs of one
"""
