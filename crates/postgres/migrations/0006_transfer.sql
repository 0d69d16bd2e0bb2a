-- What was carried here from another store: one row of the whole, and one of each section that was
-- begun. While the whole is not finished, nothing is served.
CREATE TABLE transfer (
    -- Empty for the whole.
    section text COLLATE "C" PRIMARY KEY,
    -- What the other store is known by.
    origin text NOT NULL,
    -- Up to where everything is here; null at the end.
    place bytea,
    finished boolean NOT NULL
);
