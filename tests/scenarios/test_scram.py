"""The door's SCRAM against real servers: with what a client's proof gave, into every server that holds the same verifier, and into no other."""
import pytest

import rawpg
import shift
from rawpg import Raw


def verifier(server, user="app"):
    return server.one("select rolpassword from pg_authid where rolname = %s", (user,))


def test_one_proof_opens_both_servers(server):
    old, new = server(13, "old", auth="scram"), server(17, "new", auth="scram")
    old.sql("set password_encryption = 'scram-sha-256'; create role app login password 'pass w\u00f6rd'")
    new.sql("create role app login password %s", (verifier(old),))
    assert verifier(new) == verifier(old)
    for s in (old, new):
        with Raw(s.port, "app", login=shift.Key(verifier(old), "pass w\u00f6rd")) as session:
            assert session.sql("select session_user") == [["app"]]
    with pytest.raises(shift.Unmovable, match="login: .*password authentication failed"):
        shift.Key(verifier(old), "pass word")


def test_the_same_password_under_another_salt_is_refused_before_the_proof(server):
    old, new = server(13, "old", auth="scram"), server(15, "new", auth="scram")
    for s in (old, new):
        s.sql("set password_encryption = 'scram-sha-256'; create role app login password 'secret'")
    assert verifier(new) != verifier(old)
    with pytest.raises(shift.Unmovable, match="verifier: .*salt or iterations"):
        Raw(new.port, "app", login=shift.Key(verifier(old), "secret"))


def test_the_key_of_another_password_is_refused_by_the_server(server):
    """Salt and iterations are the same, StoredKey is not."""
    new = server(17, "new", auth="scram")
    new.sql("set password_encryption = 'scram-sha-256'; create role app login password 'one'; create role two login password 'two'")
    head, keys = verifier(new).split("$", 2)[1:]
    assert len(keys.split(":")) == 2
    new.sql("alter role app password %s", (f"SCRAM-SHA-256${head}${verifier(new, 'two').split('$', 2)[2]}",))
    with pytest.raises(rawpg.Refused, match="28P01"):
        Raw(new.port, "app", login=shift.Key(f"SCRAM-SHA-256${head}${keys}", "one"))
