-- What the application shows first: a customer's active loans and what is still to be paid on each.
SELECT loans.id, loans.principal, loans.granted_on,
       sum(instalments.amount - instalments.paid) AS open,
       min(instalments.due_on) FILTER (WHERE instalments.paid < instalments.amount) AS next_due
FROM loans
JOIN instalments ON instalments.loan_id = loans.id
WHERE loans.status = 'active'
  AND loans.customer_id = (
      SELECT customer_id FROM loans WHERE status = 'active' ORDER BY id LIMIT 1
  )
GROUP BY loans.id
ORDER BY next_due
