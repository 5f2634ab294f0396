// node-postgres: its own protocol, in a pool.
const { Pool, Client } = require("pg");
const [host, port, database, user, password] = process.argv.slice(2);
const how = { host, port: Number(port), database, user, password };
const say = (...words) => console.log(...words);
const line = () => new Promise((go) => process.stdin.once("data", go));

async function main() {
  const pool = new Pool({ ...how, max: 2 });
  const c = await pool.connect();
  const one = async (sql, args) => Object.values((await c.query(sql, args)).rows[0])[0];
  const state = async (sql) => { try { await c.query(sql); return "none"; } catch (e) { return e.code; } };
  const heard = () => new Promise((go) => c.once("notification", (n) => go(n.payload)));
  say("simple", await one("select 1 + 1"));
  say("parameters", await one("select $1::int + $2::int", [40, 2]));
  const doubles = async (n) => (await c.query({ name: "doubles", text: "select $1::int * 2 as d", values: [n] })).rows[0].d;
  say("prepared", await doubles(0), await doubles(1), await doubles(2));
  await c.query("begin");
  await c.query("declare named cursor for select n from generate_series(1, 10) n");
  say("cursor", (await c.query("fetch 3 from named")).rows.length, (await c.query("fetch all from named")).rows.length);
  await c.query("commit");
  await c.query("truncate app_item");
  await Promise.all([...Array(100).keys()].map((n) => c.query("insert into app_item (id, word) values ($1, $2)", [n, `word ${n}`])));
  say("batch", await one("select count(*) from app_item"));
  await c.query("begin");
  say("error", await state("insert into app_item values (1, 'twice')"), "then", await state("select 1"));
  await c.query("rollback");
  say("after rollback", await one("select count(*) from app_item"));
  await c.query("listen news");
  let next = heard();
  await pool.query("notify news, 'hello'");
  say("notified", await next);
  const pid = c.processID;
  const running = state("select pg_sleep(60)");
  const canceller = new Client(how);
  setTimeout(() => canceller.cancel(c, c.activeQuery || c._activeQuery), 500);
  say("cancelled", await running);
  say("idle");
  await line();
  say("prepared", await doubles(9), await one("select word from app_item where id = $1", [7]));
  next = heard();
  await pool.query("notify news, 'again'");
  say("notified", await next);
  process.exit(0);
}
main().catch((e) => { console.error(e); process.exit(1); });
