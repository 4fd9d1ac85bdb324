-- The schema of a store in PostgreSQL, and what has to happen on the server in one round trip.
-- Times are in seconds since 1970, by the server's clock where it matters who is alive or what is due.

CREATE TABLE meta (version integer NOT NULL);

-- One row for each instance, updated in place. Nothing that a checkpoint changes is indexed, so an
-- update touches no index (HOT); the space for it is left free in each page.
CREATE TABLE instances (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    program text NOT NULL,
    status text NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    arguments text,
    call_stack bytea,
    retry bytea,
    awaited text,
    wake_at double precision,
    outcome bytea,
    error text,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    recoveries integer NOT NULL,
    owner text,
    due double precision -- when it can go on, if nobody owns it and that is known
) WITH (fillfactor = 50);
CREATE INDEX instances_owned ON instances (owner) WHERE owner IS NOT NULL;
CREATE INDEX instances_due ON instances (due) WHERE due IS NOT NULL;

CREATE TABLE parts (
    instance bigint NOT NULL REFERENCES instances (key) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (instance, name)
);

CREATE TABLE messages (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX messages_of_instance ON messages (instance_id, number);

CREATE TABLE states (id text COLLATE "C" PRIMARY KEY, state bytea NOT NULL);

-- Who is alive. An owner that was deleted is dead for good: its name is never used again.
CREATE TABLE owners (name text PRIMARY KEY, expires_at double precision NOT NULL);

CREATE FUNCTION clock() RETURNS double precision VOLATILE LANGUAGE sql AS $$
    SELECT extract(epoch FROM clock_timestamp())::double precision
$$;

CREATE FUNCTION is_alive(name text) RETURNS boolean VOLATILE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT 1 FROM owners WHERE owners.name = is_alive.name AND expires_at > clock())
$$;

-- When an instance that nobody owns can go on.
CREATE FUNCTION due_of(it instances) RETURNS double precision VOLATILE LANGUAGE sql AS $$
    SELECT CASE
        WHEN it.status = 'RUNNING' OR (it.status = 'ENQUEUED' AND it.wake_at IS NULL) THEN it.updated_at
        WHEN it.status IN ('SLEEPING', 'WAITING') AND EXISTS (
            SELECT 1 FROM messages
            WHERE instance_id = it.id AND (name LIKE '.%' OR it.awaited::jsonb ? name)
        ) THEN it.updated_at
        WHEN it.status IN ('SLEEPING', 'WAITING') THEN it.wake_at
    END
$$;

-- Whoever puts a message into a mailbox and whoever lets an instance go lock its row first, and look
-- at the other's work after that; so of the two the later one sees that the instance can go on.
CREATE FUNCTION publish(ids text[], names text[], payloads bytea[], channel text) RETURNS bigint[]
VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    numbers bigint[];
BEGIN
    PERFORM 1 FROM instances WHERE id = ANY (ids) ORDER BY key FOR NO KEY UPDATE;
    WITH put AS (
        INSERT INTO messages (instance_id, name, payload)
        SELECT message.id, message.name, message.payload
        FROM unnest(ids, names, payloads) WITH ORDINALITY AS message (id, name, payload, place)
        ORDER BY place
        RETURNING number
    )
    SELECT array_agg(number ORDER BY number) INTO numbers FROM put;
    UPDATE instances SET due = due_of(instances)
    WHERE id = ANY (ids) AND owner IS NULL AND status IN ('SLEEPING', 'WAITING');
    PERFORM pg_notify(channel, id) FROM (SELECT DISTINCT unnest(ids) AS id) AS addressed;
    RETURN numbers;
END
$$;

CREATE FUNCTION offer(id text, name text, payload bytea, channel text) RETURNS boolean
VOLATILE LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(offer.id, 0));
    IF EXISTS (SELECT 1 FROM messages WHERE instance_id = offer.id AND messages.name = offer.name) THEN
        RETURN false;
    END IF;
    PERFORM publish(ARRAY[offer.id], ARRAY[offer.name], ARRAY[offer.payload], channel);
    RETURN true;
END
$$;

CREATE FUNCTION release(ids text[], epochs bigint[], channel text) RETURNS void
VOLATILE LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM instances WHERE id = ANY (ids) ORDER BY key FOR NO KEY UPDATE;
    UPDATE instances SET owner = NULL, recoveries = 0, due = due_of(instances)
    FROM unnest(ids, epochs) AS let_go (id, epoch)
    WHERE instances.id = let_go.id AND instances.epoch = let_go.epoch;
    PERFORM pg_notify(channel, id) FROM (SELECT DISTINCT unnest(ids) AS id) AS addressed;
END
$$;

-- Owners whose lease has run out: what they owned can go on elsewhere.
CREATE FUNCTION bury_the_dead() RETURNS void VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    dead text[];
BEGIN
    WITH gone AS (DELETE FROM owners WHERE expires_at <= clock() RETURNING name)
    SELECT array_agg(name) INTO dead FROM gone;
    IF dead IS NOT NULL THEN
        UPDATE instances
        SET owner = NULL, epoch = epoch + 1, recoveries = recoveries + 1, due = due_of(instances)
        WHERE owner = ANY (dead);
    END IF;
END
$$;

-- What transitions change beside the rows, for those instances (`done`) that were committed.
CREATE FUNCTION commit_more(
    done bigint[],
    consumers bigint[], consumed bigint[],
    part_keys bigint[], part_names text[], part_values bytea[],
    ended bigint[], transient text[],
    senders bigint[], ids text[], names text[], payloads bytea[],
    channel text
) RETURNS void VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    sent_ids text[];
    sent_names text[];
    sent_payloads bytea[];
    told bigint[];
BEGIN
    DELETE FROM messages USING unnest(consumers, consumed) AS taken (key, number)
    WHERE messages.number = taken.number AND taken.key = ANY (done);
    DELETE FROM parts USING unnest(part_keys, part_names, part_values) AS part (key, name, value)
    WHERE parts.instance = part.key AND parts.name = part.name AND part.value IS NULL AND part.key = ANY (done);
    INSERT INTO parts
    SELECT part.key, part.name, part.value FROM unnest(part_keys, part_names, part_values) AS part (key, name, value)
    WHERE part.value IS NOT NULL AND part.key = ANY (done)
    ON CONFLICT (instance, name) DO UPDATE SET value = excluded.value;
    DELETE FROM parts WHERE instance = ANY (ended) AND instance = ANY (done) AND name LIKE ANY (transient);
    SELECT array_agg(id ORDER BY place), array_agg(name ORDER BY place), array_agg(payload ORDER BY place)
    INTO sent_ids, sent_names, sent_payloads
    FROM unnest(senders, ids, names, payloads) WITH ORDINALITY AS sent (key, id, name, payload, place)
    WHERE sent.key = ANY (done);
    IF sent_ids IS NOT NULL THEN
        PERFORM publish(sent_ids, sent_names, sent_payloads, channel);
    END IF;
    SELECT ended || coalesce(array_agg(part.key), '{}') INTO told
    FROM unnest(part_keys, part_names) AS part (key, name) WHERE NOT part.name LIKE ANY (transient);
    PERFORM pg_notify(channel, id) FROM instances WHERE key = ANY (told) AND key = ANY (done);
END
$$;
