# DBD::Pg (libpq): prepared at the server, COPY, notifications.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:async);
$| = 1;
my ($host, $port, $db, $user, $password) = @ARGV;
sub dial { DBI->connect("dbi:Pg:host=$host;port=$port;dbname=$db", $user, $password, {RaiseError => 1, PrintError => 0, AutoCommit => 1}) }
sub one { my ($c, $sql, @args) = @_; return ($c->selectrow_array($sql, undef, @args))[0] }
sub heard { my $c = shift; my $n; until ($n = $c->pg_notifies) { one($c, "select 1") } return $n->[2] }

my $c = dial();
print "simple ", one($c, "select 1 + 1"), "\n";
print "parameters ", one($c, 'select ?::int + ?::int', 40, 2), "\n";
my $doubles = $c->prepare('select ?::int * 2', {pg_prepare_now => 1});
my @got = map { $doubles->execute($_); $doubles->fetchrow_array } 0 .. 4;
print "prepared @got\n";
$c->begin_work;
$c->do("declare named cursor for select n from generate_series(1, 10) n");
print "cursor ", join(",", map { $_->[0] } @{$c->selectall_arrayref("fetch 3 from named")}, @{$c->selectall_arrayref("fetch 9 from named")}), "\n";
$c->commit;
$c->do("truncate app_item");
my $adds = $c->prepare("insert into app_item (id, word) values (?, ?)");
$adds->execute_array({ArrayTupleStatus => []}, [0 .. 99], [map { "word $_" } 0 .. 99]);
$c->do("copy app_item from stdin");
$c->pg_putcopydata("$_\tcopied $_\n") for 100 .. 1099;
$c->pg_putcopyend;
$c->do("copy (select * from app_item order by id) to stdout");
my ($lines, $line) = (0, "");
my $last = "";
while ($c->pg_getcopydata($line) >= 0) { $lines++; $last = $line }
print "copy $lines $last";
$c->begin_work;
eval { $c->do("insert into app_item values (1, 'twice')") }; print "error ", $c->state, "\n";
eval { one($c, "select 1") }; print "then ", $c->state, "\n";
$c->rollback;
print "after rollback ", one($c, "select count(*) from app_item"), "\n";
$c->do("listen news");
dial()->do("notify news, 'hello'");
print "notified ", heard($c), "\n";
$c->do("select pg_sleep(60)", {pg_async => PG_ASYNC});
eval { $c->pg_cancel }; print "cancelled ", one($c, "select 5"), "\n";
print "idle\n";
my $go = <STDIN>;
$doubles->execute(9);
print "prepared ", $doubles->fetchrow_array, " ", one($c, "select word from app_item where id = ?", 7), "\n";
dial()->do("notify news, 'again'");
print "notified ", heard($c), "\n";
