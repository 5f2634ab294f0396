-- What is this file? Its schema version, the program it belongs to, and how many objects it holds, at one instant.
SELECT (SELECT user_version FROM pragma_user_version),
       (SELECT application_id FROM pragma_application_id),
       (SELECT count(*) FROM sqlite_schema);
