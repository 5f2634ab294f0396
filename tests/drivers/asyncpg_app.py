"""asyncpg: a protocol of its own, everything binary, statements prepared and portals named by itself, in a pool."""
import asyncio
import sys

import asyncpg

host, port, db, user, password = sys.argv[1:6]


async def work(pool, c):
    print("simple", await c.fetchval("select 1 + 1"))
    print("parameters", await c.fetchval("select $1::int + $2", 40, 2), await c.fetchval("select $1::timestamptz at time zone 'utc'", __import__("datetime").datetime(2026, 1, 2, tzinfo=__import__("datetime").timezone.utc)))
    doubles = await c.prepare("select $1::int * 2")
    print("prepared", *[await doubles.fetchval(n) for n in range(3)])
    async with c.transaction():
        print("cursor", [row[0] async for row in c.cursor("select n from generate_series(1, 10) n", prefetch=3)])
    await c.execute("truncate app_item")
    await c.executemany("insert into app_item (id, word) values ($1, $2)", [(n, f"word {n}") for n in range(100)])
    print("batch", await c.fetchval("select count(*) from app_item"))
    print("copy", await c.copy_records_to_table("app_item", records=[(n, f"copied {n}") for n in range(100, 1100)]))
    size = 0

    async def take(data):
        nonlocal size
        size += len(data)
    print("copy", await c.copy_from_query("select * from app_item order by id", output=take), size)
    print("types", await c.fetchval("select array['sad', 'glad']::app_mood[]"), await c.fetchval("select $1::app_mood", "glad"))
    try:
        async with c.transaction():
            await c.execute("insert into app_item values (1, 'twice')")
    except asyncpg.PostgresError as e:
        print("error", e.sqlstate)
    heard = asyncio.Queue()
    await c.add_listener("news", lambda *args: heard.put_nowait(args[3]))
    await pool.execute("notify news, 'hello'")
    print("notified", await asyncio.wait_for(heard.get(), 20))
    try:
        await c.fetchval("select pg_sleep(60)", timeout=0.5)
    except asyncio.TimeoutError:
        print("cancelled", await c.fetchval("select 5"))
    print("idle", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    print("prepared", await doubles.fetchval(9), await c.fetchval("select word from app_item where id = $1", 7))
    print("types", await c.fetchval("select array['sad', 'glad']::app_mood[]"), await c.fetchval("select $1::app_mood", "glad"))
    await pool.execute("notify news, 'again'")
    print("notified", await asyncio.wait_for(heard.get(), 20))


async def main():
    async with asyncpg.create_pool(host=host, port=port, database=db, user=user, password=password, min_size=2, max_size=2) as pool:
        async with pool.acquire() as c:
            await work(pool, c)

asyncio.run(main())
