-- What the nodes on this database are known by among others: nodes of two databases may use the same
-- servers for their signals, and must not hear each other.
CREATE TABLE cluster (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO cluster DEFAULT VALUES;
