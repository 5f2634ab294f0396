-- Tables whose row security would hide rows from leat's role (trap P11); with row_security = off reading them fails instead.
SELECT n.nspname, c.relname,
    format('row security hides rows from role %I', current_user)
    || CASE WHEN c.relforcerowsecurity THEN ', even from its owner' ELSE '' END,
    CASE WHEN c.relforcerowsecurity AND pg_has_role(c.relowner, 'USAGE') THEN format('ALTER TABLE %I.%I NO FORCE ROW LEVEL SECURITY', n.nspname, c.relname)
        ELSE format('ALTER ROLE %I BYPASSRLS', current_user) END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relrowsecurity AND c.relkind IN ('r', 'p') AND row_security_active(c.oid) AND n.nspname !~ '^pg_' AND n.nspname <> 'leat'
ORDER BY 4, 1, 2
