"""The compliance archive: once a year a recovery point is copied into a vault of another account.

    choose     which recovery point; pure
    record     what an archive is
    copy       every object, streamed and hashed on the way
    seal       Object Lock, and the metadata read back
    export     the lists for offline media; pure
    shelf      what the vault says about its archives
    make       the story of one archive

A copy lies in the vault under the very keys it has here, so that a catalog opened on the vault's
bucket lists it and a restore works from there alone.
"""
