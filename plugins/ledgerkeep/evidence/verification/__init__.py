"""Backup verification: what should be stored is stored, and what is stored is still good.

Four parts, each of which looks at one thing and hides none of the others:

    completeness   what the policy schedules was made, and on time
    reread         every stored byte is read back once in the policy's `reread_within`
    continuity     the WAL follows itself over the whole window that is kept
    trend          sizes are what they were, within the policy's deviation

What each finds is evidence. `critical` is what makes a promised recovery doubtful, and fails the
run: a backup that is missing, an object that is damaged or gone, a hole in the WAL that nobody
knew of. `warning` is what a person should look at while every recovery still works: something late
but made, a size out of its trend, a hole that is on record since it was made. `info` states what
was found in order. The decisions are pure functions; `inventory` and `reread` have the effects.
"""
