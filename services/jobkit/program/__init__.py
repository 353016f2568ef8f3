"""The program that runs a service's jobs, and the processes that work for it.

The program itself is small: it imports nothing that the work needs. A job is worked on by a child
process, which is kept for the next one and ended when none comes.
"""
