-- The vault: records that are sealed before they come here.
--
-- Ids are bytes, so that their order is that of bytes and none can be refused; a list by prefix is
-- a range of the primary key. Numbers without a sign are the bigint of the same bits. Times are
-- milliseconds since 1970.

CREATE TABLE vault_record (
    tenant text COLLATE "C" NOT NULL,
    id bytea NOT NULL,
    version bigint NOT NULL,
    updated_at bigint NOT NULL,
    -- None: never.
    expires_at bigint,
    -- Two CRC-32C: in the higher half of the place, the version and the times; in the lower half of
    -- all that and of what is sealed.
    checks bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- What is due of a tenant, the earliest first.
CREATE INDEX vault_record_expiry ON vault_record (tenant, expires_at, id)
    WHERE expires_at IS NOT NULL;

-- One row for each tenant of which a record was removed, or has ever had a time to expire at.
CREATE TABLE vault_tenant (
    tenant text COLLATE "C" PRIMARY KEY,
    -- The greatest version that was ever removed: none up to it is put where nothing is.
    removed bigint NOT NULL
) WITH (fillfactor = 50);

-- How the keys of a tenant are derived.
CREATE TABLE vault_profile (
    tenant text COLLATE "C" NOT NULL,
    number smallint NOT NULL,
    memory_kib bigint NOT NULL,
    passes bigint NOT NULL,
    lanes bigint NOT NULL,
    salt bytea NOT NULL,
    -- CRC-32C of all that.
    checks bigint NOT NULL,
    PRIMARY KEY (tenant, number)
);
