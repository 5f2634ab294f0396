-- The extensions this server could make. {trusted}: whether a plain owner of the database may, by version.
SELECT a.name, coalesce(a.default_version, ''), coalesce(a.installed_version, ''), coalesce(v.superuser AND NOT {trusted}, true)
FROM pg_catalog.pg_available_extensions a
LEFT JOIN pg_catalog.pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
