-- The loan database of the sandbox: what a loan management system keeps, in small.
--
-- Invariants that the write load keeps and the expectations check:
--   * a loan's instalments sum to its principal plus its interest;
--   * every journal entry's lines sum to zero (double entry), so the whole ledger does;
--   * every payment points at one instalment and one journal entry;
--   * every document row names the object and the SHA-256 it must have.

CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL UNIQUE,
    country char(2) NOT NULL,
    created_at timestamptz NOT NULL,
    notes text
);

CREATE TABLE loans (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (id),
    principal numeric(14, 2) NOT NULL CHECK (principal > 0),
    interest numeric(14, 2) NOT NULL CHECK (interest >= 0),
    currency char(3) NOT NULL DEFAULT 'EUR',
    months int NOT NULL CHECK (months > 0),
    status text NOT NULL CHECK (status IN ('active', 'repaid', 'defaulted')),
    granted_on date NOT NULL
);
CREATE INDEX loans_customer ON loans (customer_id);

CREATE TABLE instalments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loan_id bigint NOT NULL REFERENCES loans (id),
    number int NOT NULL,
    due_on date NOT NULL,
    amount numeric(14, 2) NOT NULL CHECK (amount >= 0),
    paid numeric(14, 2) NOT NULL DEFAULT 0 CHECK (paid >= 0 AND paid <= amount),
    UNIQUE (loan_id, number)
);

CREATE TABLE ledger_accounts (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL
);

CREATE TABLE ledger_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loan_id bigint NOT NULL REFERENCES loans (id),
    kind text NOT NULL CHECK (kind IN ('disbursement', 'interest', 'repayment')),
    booked_at timestamptz NOT NULL
);
CREATE INDEX ledger_entries_loan ON ledger_entries (loan_id);

CREATE TABLE ledger_lines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry_id bigint NOT NULL REFERENCES ledger_entries (id),
    account_id int NOT NULL REFERENCES ledger_accounts (id),
    amount numeric(14, 2) NOT NULL CHECK (amount <> 0)
);
CREATE INDEX ledger_lines_entry ON ledger_lines (entry_id);

CREATE TABLE payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instalment_id bigint NOT NULL REFERENCES instalments (id),
    entry_id bigint NOT NULL UNIQUE REFERENCES ledger_entries (id),
    amount numeric(14, 2) NOT NULL CHECK (amount > 0),
    paid_at timestamptz NOT NULL,
    reference text NOT NULL
);
CREATE INDEX payments_instalment ON payments (instalment_id);

CREATE TABLE documents_documentpackage (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loan_id bigint NOT NULL REFERENCES loans (id),
    title text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX documents_documentpackage_loan ON documents_documentpackage (loan_id);

CREATE TABLE documents_document (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    package_id bigint NOT NULL REFERENCES documents_documentpackage (id),
    object_key text NOT NULL UNIQUE,
    content_sha256 char(64) NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    content_type text NOT NULL,
    uploaded_at timestamptz NOT NULL
);
CREATE INDEX documents_document_package ON documents_document (package_id);
