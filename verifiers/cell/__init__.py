"""The cell behind `verifiers.sandbox`: what runs inside it, and what starts, feeds and ends it from outside.

Inside (system Python, standard library only): `zygote`, `job`, `child`, `kernel`, `wire`.
Outside (the supervisor): `cell`, `bwrap`, `seccomp`, `memory`, `jobs`, `compiler`, `languages`, `level`, and `wire`.
"""
