-- Conversations: what is written to whom, how far it has come, and the inboxes of all.
--
-- A send writes one row of `chat_message`, and changes one of `chat` and two of `chat_user`. There
-- are no rows for the entries of inboxes: a message has its places in both by itself.
--
-- Whoever writes to a chat, or to an inbox, has locked the rows of its users in `chat_user` first,
-- in the order of the primary key; that is what guards everything else here. The unique indexes
-- beside the primary keys only say once more what follows from it.
--
-- Where rows are found by the same user in two ways, the second index has his number negated. While
-- nothing is known of a table that is new, the planner holds all indexes that fit for equally good,
-- and may read all that a user has instead of one row; so each look-up fits one index only.

-- Everybody who was made known or written to.
CREATE TABLE chat_user (
    tenant text COLLATE "C" NOT NULL,
    phone bigint NOT NULL,
    -- The sequence of the newest entry of his inbox.
    newest bigint NOT NULL DEFAULT 0,
    -- When he was made known; null for one to whom was only written.
    created_at bigint,
    name bytea,
    PRIMARY KEY (tenant, phone)
) WITH (fillfactor = 60);

-- The chat of two users, the lower number first.
CREATE TABLE chat (
    tenant text COLLATE "C" NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    last_id bigint NOT NULL,
    -- How many of its messages are by the lower number.
    by_low bigint NOT NULL,
    -- What each has not read of the other's messages.
    low_unread bigint NOT NULL,
    high_unread bigint NOT NULL,
    -- How far each has come with it.
    low_delivered bigint NOT NULL,
    low_read bigint NOT NULL,
    high_delivered bigint NOT NULL,
    high_read bigint NOT NULL,
    -- The sequence of the last message in the inbox of each, by which his chats are ordered.
    low_activity bigint NOT NULL,
    high_activity bigint NOT NULL,
    -- The same in steps of 64. Only these are indexed: so most sends of a conversation change no
    -- index of this table. Of one user's chats at most 64 are on one step.
    low_step bigint NOT NULL,
    high_step bigint NOT NULL,
    PRIMARY KEY (tenant, low, high)
) WITH (fillfactor = 60);
CREATE INDEX chat_of_low ON chat (tenant, (-low), low_step);
CREATE INDEX chat_of_high ON chat (tenant, (-high), high_step);

CREATE TABLE chat_message (
    tenant text COLLATE "C" NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL,
    id bigint NOT NULL,
    sender bigint NOT NULL,
    -- How many messages of the chat up to this one are by the lower number.
    by_low bigint NOT NULL,
    -- Where it is in the inbox of each.
    low_sequence bigint NOT NULL,
    high_sequence bigint NOT NULL,
    sent_at bigint NOT NULL,
    -- When it was handed over to be committed.
    stored_at bigint NOT NULL,
    client_message_id bytea NOT NULL,
    -- Trace id, span id and flags, big-endian.
    trace bytea,
    body bytea NOT NULL,
    PRIMARY KEY (tenant, low, high, id)
);
-- What a sender calls his messages.
CREATE UNIQUE INDEX chat_message_name ON chat_message (tenant, sender, client_message_id);
-- The entries of inboxes that are messages.
CREATE UNIQUE INDEX chat_message_of_low ON chat_message (tenant, (-low), low_sequence);
CREATE UNIQUE INDEX chat_message_of_high ON chat_message (tenant, (-high), high_sequence);

-- The entries of inboxes that tell what became of messages.
CREATE TABLE chat_receipt (
    tenant text COLLATE "C" NOT NULL,
    -- Whose inbox it is in.
    phone bigint NOT NULL,
    sequence bigint NOT NULL,
    -- Who has got, or read, the messages up to this id.
    peer bigint NOT NULL,
    read boolean NOT NULL,
    up_to bigint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (tenant, phone, sequence)
);
-- When a message has come so far.
CREATE UNIQUE INDEX chat_receipt_of_peer ON chat_receipt (tenant, (-phone), peer, read, up_to);
