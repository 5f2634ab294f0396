-- What leat keeps on each side. Idempotent. Rows of leat.progress are marks: every transaction leat writes begins with one.
-- Of an engine that was killed in the middle of this, the server may still be at it.
SELECT pg_catalog.pg_advisory_xact_lock(1818583412, 1935894637);
CREATE SCHEMA IF NOT EXISTS leat;
CREATE TABLE IF NOT EXISTS leat.progress (
    migration text NOT NULL,
    stream text NOT NULL,
    lane text NOT NULL,
    position pg_lsn NOT NULL,
    token bigint NOT NULL,
    note text);
CREATE TABLE IF NOT EXISTS leat.mark (
    migration text NOT NULL,
    store text NOT NULL,
    attempt bigint NOT NULL,
    token bigint NOT NULL,
    PRIMARY KEY (migration, store, attempt));
CREATE TABLE IF NOT EXISTS leat.identity (
    table_oid oid PRIMARY KEY,
    given text NOT NULL,
    undo text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS leat.lease (
    migration text NOT NULL,
    store text NOT NULL,
    token bigint NOT NULL,
    spool text,
    barred boolean NOT NULL DEFAULT false,
    PRIMARY KEY (migration, store));
CREATE TABLE IF NOT EXISTS leat.copy (
    migration text NOT NULL,
    store text NOT NULL,
    table_oid oid NOT NULL,
    table_name text NOT NULL,
    attempt integer NOT NULL,
    snapshot text NOT NULL,
    snapshot_name text,
    ranges integer NOT NULL,
    pages bigint NOT NULL,
    rows bigint NOT NULL DEFAULT 0,
    copied boolean NOT NULL DEFAULT false,
    indexed boolean NOT NULL DEFAULT false,
    built boolean NOT NULL DEFAULT false,
    pass integer,
    joined pg_lsn,
    filenode bigint,
    unlogged boolean NOT NULL DEFAULT false,
    opened timestamptz NOT NULL DEFAULT clock_timestamp(),
    target_oid oid,
    PRIMARY KEY (migration, store, table_oid));
CREATE TABLE IF NOT EXISTS leat.ledger (
    id bigserial PRIMARY KEY,
    migration text NOT NULL,
    store text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    position pg_lsn NOT NULL,
    table_name text NOT NULL,
    kind text NOT NULL,
    why text NOT NULL,
    old_row text,
    new_row text,
    settled text);
CREATE TABLE IF NOT EXISTS leat.ddl (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tag text NOT NULL,
    object text,
    command text,
    role text NOT NULL DEFAULT current_user,
    path text,
    settings text,
    event text,
    objects text);
CREATE TABLE IF NOT EXISTS leat.scratch (
    id bigint NOT NULL,
    a text,
    b text,
    n double precision,
    at timestamptz);
CREATE TABLE IF NOT EXISTS leat.authority (
    migration text NOT NULL,
    store text NOT NULL,
    here text NOT NULL CHECK (here IN ('source', 'target')),
    fence text NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    side text NOT NULL DEFAULT 'source' CHECK (side IN ('source', 'target')),
    attempt bigint NOT NULL DEFAULT 0,
    open boolean NOT NULL,
    source_server text,
    target_server text,
    PRIMARY KEY (migration, store));
-- Of a leat that recorded no servers, knew no --force, and did not write down which table of the target it was. ALTER TABLE would lock them, even where there is nothing to add.
DO $leat$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'leat.authority'::pg_catalog.regclass AND attname = 'source_server') THEN
        ALTER TABLE leat.authority ADD COLUMN source_server text, ADD COLUMN target_server text;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'leat.lease'::pg_catalog.regclass AND attname = 'barred') THEN
        ALTER TABLE leat.lease ADD COLUMN barred boolean NOT NULL DEFAULT false;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'leat.copy'::pg_catalog.regclass AND attname = 'target_oid') THEN
        ALTER TABLE leat.copy ADD COLUMN target_oid oid;
    END IF;
END
$leat$;
CREATE TABLE IF NOT EXISTS leat.turn (
    migration text NOT NULL,
    store text NOT NULL,
    epoch bigint NOT NULL,
    serves boolean NOT NULL,
    at pg_lsn NOT NULL DEFAULT pg_catalog.pg_current_wal_insert_lsn(),
    PRIMARY KEY (migration, store, epoch));
CREATE TABLE IF NOT EXISTS leat.round (
    migration text NOT NULL,
    store text NOT NULL,
    mark bigint NOT NULL,
    PRIMARY KEY (migration, store));
CREATE TABLE IF NOT EXISTS leat.denied (
    n bigint NOT NULL,
    grantor oid NOT NULL,
    grantee oid NOT NULL,
    by_owner boolean NOT NULL,
    grantable boolean NOT NULL,
    given boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (grantor, grantee))
