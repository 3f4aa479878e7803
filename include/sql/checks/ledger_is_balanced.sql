-- Every journal entry has lines, and they sum to zero.
SELECT entries.id AS ledger_entry, coalesce(sum(lines.amount), 0) AS difference
FROM ledger_entries AS entries
LEFT JOIN ledger_lines AS lines ON lines.entry_id = entries.id
GROUP BY entries.id
HAVING count(lines.id) = 0 OR sum(lines.amount) <> 0
