# ruby-pg (libpq): pipeline mode, prepared, COPY, notifications.
require "pg"
$stdout.sync = true
HOST, PORT, DB, USER, PASSWORD = ARGV
def dial = PG.connect(host: HOST, port: PORT, dbname: DB, user: USER, password: PASSWORD)
def one(c, sql, args = []) = c.exec_params(sql, args).getvalue(0, 0)
def heard(c)
  said = nil
  c.wait_for_notify(20) { |_, _, payload| said = payload }
  said
end
def state = yield.then { "none" } rescue $!.result.error_field(PG::PG_DIAG_SQLSTATE)

c = dial
puts "simple #{c.exec("select 1 + 1; select 3").getvalue(0, 0)}"
puts "parameters #{one(c, "select $1::int + $2::int", [40, 2])}"
c.prepare("doubles", "select $1::int * 2")
puts "prepared #{(0..2).map { |n| c.exec_prepared("doubles", [n]).getvalue(0, 0) }}"
c.transaction do
  c.exec("declare named cursor for select n from generate_series(1, 10) n")
  puts "cursor #{c.exec("fetch 3 from named").column_values(0) + c.exec("fetch all from named").column_values(0)}"
end
c.exec("truncate app_item")
c.enter_pipeline_mode
100.times { |n| c.send_query_params("insert into app_item (id, word) values ($1, $2)", [n, "word #{n}"]) }
c.pipeline_sync
results = 0
loop do
  r = c.get_result
  next if r.nil?
  break if r.result_status == PG::PGRES_PIPELINE_SYNC
  results += r.cmd_tuples
end
c.exit_pipeline_mode
puts "batch #{results} #{one(c, "select count(*) from app_item")}"
c.copy_data("copy app_item from stdin") { (100..1099).each { |n| c.put_copy_data("#{n}\tcopied #{n}\n") } }
lines = []
c.copy_data("copy (select * from app_item order by id) to stdout") { while (row = c.get_copy_data) do lines << row end }
puts "copy #{lines.size} #{lines.last}"
c.exec("begin")
puts "error #{state { c.exec("insert into app_item values (1, 'twice')") }}"
puts "then #{state { c.exec("select 1") }}"
c.exec("rollback")
puts "after rollback #{one(c, "select count(*) from app_item")}"
c.exec("listen news")
dial.exec("notify news, 'hello'")
puts "notified #{heard(c)}"
c.send_query("select pg_sleep(60)")
c.cancel
puts "cancelled #{state { c.get_last_result }}"
puts "idle"
$stdin.gets
puts "prepared #{c.exec_prepared("doubles", [9]).getvalue(0, 0)} #{one(c, "select word from app_item where id = $1", [7])}"
dial.exec("notify news, 'again'")
puts "notified #{heard(c)}"
