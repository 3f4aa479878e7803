-- Every document leads to a customer, by its package and the package's loan.
SELECT documents.id AS document
FROM documents_document AS documents
LEFT JOIN documents_documentpackage AS packages ON packages.id = documents.package_id
LEFT JOIN loans ON loans.id = packages.loan_id
LEFT JOIN customers ON customers.id = loans.customer_id
WHERE customers.id IS NULL
