-- Every key of every tenant once. A key is its number: `core::ingest::Key`.
CREATE TABLE ledger (
    id bigint NOT NULL,
    key int NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, key)
);

-- One number for each row, over all tenants. Without a cache, so that numbers grow with time,
-- whichever node takes them.
CREATE SEQUENCE ledger_id;
