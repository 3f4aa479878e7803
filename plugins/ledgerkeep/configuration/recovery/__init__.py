"""Recovery of configuration: what is live becomes what a stored version holds, change by change.

    request      what a person asks for
    form         read from a form, without guessing
    decide       what has to be done, from what is stored and what is live; pure
    plan         decided, written down as data before anything is touched
    summary      the plan as a person reads it, secrets masked
    held         versions that retention leaves while a recovery may need them
    carry_out    the changes in the source's order, one by one; journal: found again after a kill
    verify       everything read back and compared again
    beside       the same into an isolated place, for a restore test; places: found again if killed
    evidence     what a run says of it, in words; beside_evidence: what a restore test says

A plan holds marks and never a secret's value: values are decrypted in memory when they are applied.
What is approved is the plan's SHA-256. What the version does not know is never deleted unless the
request says so.
"""
