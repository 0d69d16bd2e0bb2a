-- Events, queues, and who is there.

-- One row for each tenant that ever had an event or a queue. Whoever appends to its log holds this
-- row until the commit: so sequences have no gaps, and become visible in their order.
CREATE TABLE bus_head (
    tenant text COLLATE "C" PRIMARY KEY,
    newest bigint NOT NULL DEFAULT 0,
    newest_at bigint NOT NULL DEFAULT -9223372036854775808,
    -- All events before this sequence have expired.
    oldest bigint NOT NULL DEFAULT 1,
    -- How many labels there are.
    labels int NOT NULL DEFAULT 0,
    -- How often a queue was made or removed.
    queues bigint NOT NULL DEFAULT 0,
    -- How often events have expired; and by the filters of rules up to which sequence, and when last.
    expiries bigint NOT NULL DEFAULT 0,
    mark_filters text[] NOT NULL DEFAULT '{}',
    mark_sequences bigint[] NOT NULL DEFAULT '{}',
    mark_expiries bigint[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 20);

-- A topic and a type that events of a tenant have. Numbers count from 1.
CREATE TABLE bus_label (
    tenant text COLLATE "C" NOT NULL,
    number int NOT NULL,
    topic text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, number)
);
CREATE UNIQUE INDEX bus_label_of ON bus_label (tenant, topic, type);

CREATE TABLE bus_event (
    tenant text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    at bigint NOT NULL,
    label int NOT NULL,
    -- Among those of its label: which it is, and how many bytes all up to it have. What lies between
    -- two events of a label is known from these two.
    ordinal bigint NOT NULL,
    volume bigint NOT NULL,
    key bytea,
    body bytea NOT NULL,
    PRIMARY KEY (tenant, sequence)
);
CREATE INDEX bus_event_label ON bus_event (tenant, label, sequence);
CREATE UNIQUE INDEX bus_event_key ON bus_event (tenant, key) WHERE key IS NOT NULL;

-- Whoever pulls or settles holds the queue's row until the commit. Queues come before heads: who
-- needs both takes them in this order.
CREATE TABLE bus_queue (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    -- Another one for a queue that is made again.
    number bigint NOT NULL,
    filters text[] NOT NULL,
    types text[] NOT NULL,
    ack_timeout_ms bigint NOT NULL,
    max_deliveries bigint NOT NULL,
    dead_letter_topic text NOT NULL,
    -- None behind this place was delivered; all others were, are not for it, or have expired.
    cursor bigint NOT NULL,
    -- It was looked after up to this time.
    swept bigint NOT NULL DEFAULT -9223372036854775808,
    -- Nothing is held whose time is before these: of all, and of those that come behind `swept`.
    first_at bigint,
    next_at bigint,
    -- How many rows are held, and how many of them are leased.
    held bigint NOT NULL DEFAULT 0,
    leased bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    acknowledged bigint NOT NULL DEFAULT 0,
    redelivered bigint NOT NULL DEFAULT 0,
    -- Whether something may be held.
    busy boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 20);
CREATE INDEX bus_queue_busy ON bus_queue (tenant, name) WHERE busy;

-- What was delivered and is not done with. A leased row whose time is up by `swept` waits, and nobody
-- writes that down.
CREATE TABLE bus_held (
    tenant text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    sequence bigint NOT NULL,
    attempts bigint NOT NULL,
    -- Until when it is leased, or when it can be delivered again.
    at bigint NOT NULL,
    leased boolean NOT NULL,
    -- 0: it may be delivered again. 1: this was its last delivery. 2: its event has expired.
    kind smallint NOT NULL,
    PRIMARY KEY (tenant, number, sequence)
);
CREATE INDEX bus_held_at ON bus_held (tenant, number, kind, at, sequence);

-- Queues that were removed, of which something may be held.
CREATE TABLE bus_removed (
    tenant text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (tenant, number)
);

-- Which clients are at which gateways: with the newest session there, and that of the whole stay.
CREATE TABLE bus_stay (
    tenant text COLLATE "C" NOT NULL,
    client bytea NOT NULL,
    gateway bigint NOT NULL,
    session bigint NOT NULL,
    newest bigint NOT NULL,
    PRIMARY KEY (tenant, client, gateway)
);
CREATE INDEX bus_stay_gateway ON bus_stay (tenant, gateway, client);

-- Who does what one node at a time is to do, and until when.
CREATE TABLE bus_lease (
    duty text COLLATE "C" PRIMARY KEY,
    holder bigint NOT NULL,
    until timestamptz NOT NULL
);
