"""Trainings with a fault built in, and the same ones without it: what rules are measured by.

`pictures` are what is learnt. `loop` is anybody's own loop, watched by `vizsla.debugger.watch`, and `named` its faults:
one for each rule, under the documented defaults. `job` is the built-in classifier, `usual` its faults and its healthy
settings: for the six rules that are on by default, under vizsla's own profile. Each training takes seconds.
"""
