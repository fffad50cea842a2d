"""A slow evaluator of plans, written to be obviously right.

It shares nothing with the engine but the plan, the types and the errors. Tables are lists of tuples of Python values:
None, bool, int, float (a float column holds numbers of 32 bits), str, ``datetime.date``, and int milliseconds for a
timestamp. Every rule is written once, close to the words of the reference, and nothing is done for speed.
"""
