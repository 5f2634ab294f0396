<?php // pgsql and PDO (libpq).
[, $host, $port, $db, $user, $password] = $argv;
$dsn = "host=$host port=$port dbname=$db user=$user password='$password'";
function dial() { global $dsn; return pg_connect($dsn, PGSQL_CONNECT_FORCE_NEW); }
function one($c, $sql, $args = []) { return pg_fetch_result(pg_query_params($c, $sql, $args), 0, 0); }
function state($c, $sql) { pg_send_query($c, $sql); $s = pg_result_error_field(pg_get_result($c), PGSQL_DIAG_SQLSTATE); while (pg_get_result($c)); return $s; }
function heard($c) { while (!($n = pg_get_notify($c))) one($c, "select 1"); return $n["payload"]; }

$c = dial();
echo "simple ", pg_fetch_result(pg_query($c, "select 1 + 1"), 0, 0), "\n";
echo "parameters ", one($c, 'select $1::int + $2::int', [40, 2]), "\n";
pg_prepare($c, "doubles", 'select $1::int * 2');
for ($n = 0; $n < 3; $n++) echo "prepared ", pg_fetch_result(pg_execute($c, "doubles", [$n]), 0, 0), "\n";
pg_query($c, "truncate app_item");
echo "copy ", pg_copy_from($c, "app_item", array_map(fn($n) => "$n\tcopied $n\n", range(0, 1099))) ? "in" : "not", " ", count(pg_copy_to($c, "app_item")), "\n";
pg_query($c, "begin");
echo "error ", state($c, "insert into app_item values (1, 'twice')"), "\nthen ", state($c, "select 1"), "\n";
pg_query($c, "rollback");
echo "after rollback ", one($c, "select count(*) from app_item"), "\n";
pg_query($c, "listen news");
pg_query(dial(), "notify news, 'hello'");
echo "notified ", heard($c), "\n";
pg_send_query($c, "select pg_sleep(60)");
pg_cancel_query($c);
echo "cancelled ", one($c, "select 5"), "\n";
$pdo = new PDO("pgsql:host=$host;port=$port;dbname=$db", $user, $password, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$adds = $pdo->prepare("select ?::int + ?::int");
foreach ([1, 2] as $n) { $adds->execute([$n, 10]); echo "PDO ", $adds->fetchColumn(), "\n"; }
echo "idle\n";
fgets(STDIN);
echo "prepared ", pg_fetch_result(pg_execute($c, "doubles", [9]), 0, 0), " ", one($c, 'select word from app_item where id = $1', [7]), "\n";
$adds->execute([3, 10]);
echo "PDO ", $adds->fetchColumn(), "\n";
pg_query(dial(), "notify news, 'again'");
echo "notified ", heard($c), "\n";
