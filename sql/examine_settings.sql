-- Settings as a plain session of the application sees them, and with which its results or its room would change.
SELECT s.name, s.setting || coalesce(' ' || s.unit, ''), s.setting
FROM pg_catalog.pg_settings s
WHERE s.name IN ('DateStyle', 'IntervalStyle', 'TimeZone', 'array_nulls', 'bytea_output', 'default_tablespace', 'default_text_search_config',
    'default_transaction_isolation', 'default_transaction_read_only', 'escape_string_warning', 'extra_float_digits', 'backslash_quote',
    'idle_in_transaction_session_timeout', 'lc_messages', 'lc_monetary', 'lc_numeric', 'lc_time', 'lock_timeout', 'max_locks_per_transaction',
    'max_prepared_transactions', 'quote_all_identifiers', 'search_path', 'session_replication_role', 'standard_conforming_strings',
    'statement_timeout', 'synchronous_commit', 'transform_null_equals', 'xmlbinary', 'xmloption', 'block_size', 'max_index_keys',
    'max_identifier_length')
ORDER BY 1
