-- What leat has built on the target: the statements' digest, and how many of them are in.
CREATE TABLE IF NOT EXISTS leat.built (
    store text NOT NULL,
    what text NOT NULL,
    digest text NOT NULL,
    done integer NOT NULL,
    total integer NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (store, what))
