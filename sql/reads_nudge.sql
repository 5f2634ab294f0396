-- A commit of nothing. What is written but waits on no disk (pruning, a commit that does not wait) goes to it, and to the stream.
SELECT pg_catalog.pg_logical_emit_message(true, 'leat', '')
