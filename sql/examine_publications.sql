-- Publications FOR ALL TABLES would publish leat's own tables to subscribers that do not have them.
SELECT NULL, p.pubname,
    format('publication %I is FOR ALL TABLES: leat''s own tables in schema leat would be published by it, and a native subscriber without them stops', p.pubname),
    'CREATE SCHEMA leat; CREATE TABLE leat.progress (migration text, stream text, lane text, position pg_lsn, token bigint, note text);'
    || ' CREATE TABLE leat.mark (migration text, store text, attempt bigint, token bigint);'
    || ' CREATE TABLE leat.ddl (id bigint, at timestamptz, tag text, object text, command text, role text, path text, settings text, event text, objects text); -- on each of its native subscribers'
FROM pg_catalog.pg_publication p
WHERE p.puballtables
ORDER BY 2
