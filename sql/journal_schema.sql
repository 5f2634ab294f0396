-- The journal, schema 1. events is the record; head says where it ends; steps, facts and leases are what replaying gives.
PRAGMA application_id = 0x6c656174;
PRAGMA user_version = 1;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    store TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL) STRICT;
CREATE TRIGGER events_are_final BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    migration TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL) STRICT;
CREATE TABLE steps (
    store TEXT NOT NULL,
    step TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('intent', 'done', 'undone')),
    PRIMARY KEY (store, step)) STRICT, WITHOUT ROWID;
CREATE TABLE facts (
    store TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT,
    quiet INTEGER NOT NULL,
    PRIMARY KEY (store, name)) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    token INTEGER NOT NULL,
    held INTEGER NOT NULL,
    host TEXT NOT NULL,
    place TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    ttl_us INTEGER NOT NULL,
    taken_at_us INTEGER NOT NULL,
    renewed_at_us INTEGER NOT NULL,
    renewed_mono_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
