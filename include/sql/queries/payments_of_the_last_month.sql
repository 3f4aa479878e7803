-- The month's end: what was paid in the 30 days before the latest payment, per day and currency.
SELECT date_trunc('day', payments.paid_at) AS day, loans.currency,
       count(*) AS payments, sum(payments.amount) AS amount
FROM payments
JOIN instalments ON instalments.id = payments.instalment_id
JOIN loans ON loans.id = instalments.loan_id
WHERE payments.paid_at > (SELECT max(paid_at) - interval '30 days' FROM payments)
GROUP BY 1, 2
ORDER BY 1, 2
