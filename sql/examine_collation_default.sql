-- The database's own collation: {provider} and {locale} differ by version, so do what is recorded and what is there now.
SELECT {provider}, {locale}, d.datctype, {recorded}, {actual}
FROM pg_catalog.pg_database d
WHERE d.datname = current_database()
