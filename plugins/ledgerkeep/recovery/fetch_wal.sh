#!/bin/sh
# restore_command of a restored copy: fetch-wal <file name> <destination>
# Asks the feeder, which fetches ahead of us, and moves the file into place. The server runs us in
# its data directory. Exit 0: there; 1: no such file, the WAL ends; 200: failed, stop the recovery
# (PostgreSQL takes anything up to 125 for the end of the WAL and would end recovery silently).
spool=../wal-spool
printf '%s %s\n' "$$" "$1" >"$spool/requests" || exit 200
# A reply that an interrupted client left unread carries that client's number.
while read -r asker answer text; do
    [ "$asker" = "$$" ] || continue
    case $answer in
    ok) mv -f "$spool/$1" "$2" && exit 0 ;;
    missing) exit 1 ;;
    *) echo "fetch-wal: $text" >&2 ;;
    esac
    exit 200
done <"$spool/replies"
exit 200
