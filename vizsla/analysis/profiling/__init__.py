"""Where the time of a job went: records of samples and phases → figures, and what to set. No torch, no rules.

`meter` reads records into figures; `bound` says from these what holds a training up; `usage`, `phases`, `steps` and
`operators` are what a report shows.
"""
