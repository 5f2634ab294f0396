"""compare — are two databases the same? Written without a line of leat's own code, so that it can be wrong only by itself.

Every ordinary table outside system schemas (and outside `leat`), columns by name, rows as text under pinned settings, as
a multiset: each row becomes a hash of its text as a record (which quotes, and tells NULL from nothing); a table is equal when
it has as many rows and their hashes add up to the same (of 64 bits by two seeds; beside a server before 11, which has none, both
halves of md5). Where they do not, the sorted lists of md5 are compared (in buckets, so that a large table needs no memory here).
Sequences are compared by last_value and is_called. Both sides have to be quiet.

PostgreSQL 12 changed how floating point is written. Between a side before and a side after it, such columns are compared
by their binary form, and floats inside other types (composites) by 15 digits.

    differences = compare(old.socket_dsn("shop"), new.socket_dsn("shop"))
    assert not differences, differences          # prints readably
"""
import collections
import concurrent.futures

import psycopg2
from psycopg2 import sql

PINNED = """
set client_encoding = 'UTF8'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set extra_float_digits = 3;
set timezone = 'UTC'; set bytea_output = 'hex'; set xmlbinary = 'base64'; set search_path = ''; set row_security = off;
set lc_monetary = 'C'; set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0;
set default_transaction_isolation = 'repeatable read'; set enable_seqscan = on;
"""

FEWER_DIGITS = "set extra_float_digits = 0; select 1"

TABLES = """
select n.nspname, c.relname, c.oid
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'leat')
   and not exists (select 1 from pg_catalog.pg_depend d
                    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by 1, 2"""

COLUMNS = """
select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
       case when t.typname in ('float4', 'float8', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle')
              or e.typname in ('float4', 'float8', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle')
              or r.rngsubtype = 'pg_catalog.float8'::pg_catalog.regtype then t.typsend::text end
  from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
  left join pg_catalog.pg_type e on e.oid = t.typelem and t.typlen = -1 and t.typtype = 'b'
  left join pg_catalog.pg_range r on r.rngtypid = t.oid
 where a.attrelid = %s and a.attnum > 0 and not a.attisdropped"""

SEQUENCES = """
select n.nspname, c.relname
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'S' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'leat') order by 1, 2"""

SHOWN = 5


class Differences(list):
    """Lines for a person; empty means equal. `rows` and `tables` say how much was compared."""
    tables = rows = 0

    def __str__(self):
        return f"{len(self)} difference(s) in {self.tables} tables:\n  " + "\n  ".join(self) if self else \
            f"equal: {self.tables} tables, {self.rows} rows"


def connect(dsn):
    c = psycopg2.connect(dsn)
    c.set_session(autocommit=True)
    with c.cursor() as cur:
        cur.execute(PINNED)
    return c


def compare(source_dsn, target_dsn, sequences="equal", skip=(), only=None):
    """Differences between two quiet databases. sequences: "equal", "ahead" (target at or past the source), or None.
    skip: tables ("schema.name") to leave out; only: the ones to look at."""
    found = Differences()
    a, b = connect(source_dsn), connect(target_dsn)
    try:
        floats = (a.server_version < 120000) != (b.server_version < 120000)
        if floats:
            _query(a, FEWER_DIGITS)
            _query(b, FEWER_DIGITS)
        ours, theirs = _tables(a, skip, only), _tables(b, skip, only)
        for name in sorted(ours.keys() | theirs.keys()):
            if name not in ours or name not in theirs:
                found.append(f"table {'.'.join(name)} is only on the {'source' if name in ours else 'target'}")
                continue
            found.tables += 1
            _compare_table(a, b, name, ours[name], theirs[name], found, floats)
        if sequences:
            _compare_sequences(a, b, sequences, found)
    finally:
        a.close()
        b.close()
    return found


def _query(c, text, args=None):
    with c.cursor() as cur:
        cur.execute(text, args)
        return cur.fetchall()


def _tables(c, skip, only):
    return {(s, t): oid for s, t, oid in _query(c, TABLES) if f"{s}.{t}" not in skip and (only is None or f"{s}.{t}" in only)}


def _compare_table(a, b, name, oid_a, oid_b, found, floats):
    columns_a, columns_b = sorted(_query(a, COLUMNS, (oid_a,))), sorted(_query(b, COLUMNS, (oid_b,)))
    label = ".".join(name)
    only = {c[:3] for c in columns_a} ^ {c[:3] for c in columns_b}
    if only:
        found.append(f"table {label}: columns differ: " + "; ".join(f"{n} {t}{' not null' * nn}" for n, t, nn in sorted(only)))
        return
    columns = {c: send if floats else None for c, _, _, send in columns_a}
    both = [(a, name, columns), (b, name, columns)]
    whole_a, whole_b = _beside(_whole if min(a.server_version, b.server_version) >= 110000 else _whole_md5, both)
    found.rows += whole_a[0]
    if whole_a == whole_b:
        return
    buckets_a, buckets_b = _beside(_buckets, both)
    count_a, count_b = whole_a[0], whole_b[0]
    differ = [k for k in buckets_a.keys() | buckets_b.keys() if buckets_a.get(k) != buckets_b.get(k)]
    assert differ, f"{label}: {whole_a} and {whole_b}, and no bucket differs"
    sums_a, sums_b = _sums(a, name, columns, differ), _sums(b, name, columns, differ)
    missing, extra = sums_a - sums_b, sums_b - sums_a
    found.append(f"table {label}: {count_a} rows against {count_b}; {sum(missing.values())} only on the source, "
                 f"{sum(extra.values())} only on the target"
                 + _show(a, name, columns, missing, "source") + _show(b, name, columns, extra, "target"))


def _row_text(columns):
    """columns: name → the type's send function where the binary form counts, None where the text does."""
    if not columns:
        return sql.SQL("''")
    parts = (sql.SQL("pg_catalog.encode(pg_catalog.{}({}), 'hex')" if send else "{1}").format(sql.Identifier(send or ""), sql.Identifier("t", column)) for column, send in columns.items())
    return sql.SQL("row({})::text").format(sql.SQL(", ").join(parts))


def _row_md5(columns):
    return sql.SQL("pg_catalog.md5({})").format(_row_text(columns))


def _beside(function, both):
    """function(*arguments) of either side, at the same time."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return [one.result() for one in [pool.submit(function, *arguments) for arguments in both]]


def _whole(c, name, columns):
    """How many rows, and the sums of their hashes."""
    return _query(c, sql.SQL("select count(*), sum(pg_catalog.hashtextextended(r, 0)), sum(pg_catalog.hashtextextended(r, 1)) from (select {} r from only {} t offset 0) x").format(
        _row_text(columns), sql.Identifier(*name)))[0]


def _whole_md5(c, name, columns):
    """How many rows, and the sums of their md5s' halves (but for four bits of each)."""
    return _query(c, sql.SQL("select count(*), sum(('x' || pg_catalog.left(m, 15))::bit(60)::bigint), sum(('x' || pg_catalog.substr(m, 17, 15))::bit(60)::bigint) "
                             "from (select {} m from only {} t offset 0) x").format(_row_md5(columns), sql.Identifier(*name)))[0]


def _buckets(c, name, columns):
    """First three digits of the rows' md5 → (how many rows, md5 over their sorted md5s): 4,096 answers whatever the size."""
    query = sql.SQL("select pg_catalog.left(m, 3), count(*), pg_catalog.md5(pg_catalog.string_agg(m, '' order by m collate \"C\")) "
                    "from (select {} m from only {} t) x group by 1").format(_row_md5(columns), sql.Identifier(*name))
    return {bucket: (n, digest) for bucket, n, digest in _query(c, query)}


def _sums(c, name, columns, buckets):
    """md5 of each row → how often, of some buckets."""
    query = sql.SQL("select m, count(*) from (select {} m from only {} t) x where pg_catalog.left(m, 3) = any({}) group by 1").format(
        _row_md5(columns), sql.Identifier(*name), sql.Literal(buckets))  # no arguments: a name may hold a %s
    return collections.Counter(dict(_query(c, query)))


def _show(c, name, columns, sums, side):
    if not columns or not sums:
        return ""
    texts = sql.SQL(", ").join(sql.SQL("pg_catalog.left({}::text, 80)").format(sql.Identifier("t", x)) for x in columns)
    query = sql.SQL("select {} from only {} t where {} = any({}) limit {}").format(
        texts, sql.Identifier(*name), _row_md5(columns), sql.Literal(list(sums)[:SHOWN]), sql.Literal(SHOWN))
    return "".join(f"\n      {side}: " + ", ".join(f"{n}={v!r}" for n, v in zip(columns, row)) for row in _query(c, query))


def _compare_sequences(a, b, how, found):
    ours, theirs = _query(a, SEQUENCES), _query(b, SEQUENCES)
    for name in sorted(set(ours) | set(theirs)):
        label = ".".join(name)
        if name not in ours or name not in theirs:
            found.append(f"sequence {label} is only on the {'source' if name in ours else 'target'}")
            continue
        query = sql.SQL("select last_value, is_called, (select seqincrement from pg_catalog.pg_sequence "
                        "where seqrelid = {}::pg_catalog.regclass) from {}").format(
            sql.Literal('"' + '"."'.join(n.replace('"', '""') for n in name) + '"'), sql.Identifier(*name))
        (va, ca, step), (vb, cb, _) = _query(a, query)[0], _query(b, query)[0]
        next_a, next_b = va + step * ca, vb + step * cb
        ahead = next_b >= next_a if step > 0 else next_b <= next_a
        if (how == "equal" and (va, ca) != (vb, cb)) or (how == "ahead" and not ahead):
            found.append(f"sequence {label}: next value {next_a} on the source, {next_b} on the target")
