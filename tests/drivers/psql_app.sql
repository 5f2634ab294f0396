-- psql (libpq): simple queries, several in one, COPY from and to it, cursors, what a script may meet.
\set VERBOSITY sqlstate
select 1 + 1; select 'two' \; select 'in one';
prepare adds (int, int) as select $1 + $2;
execute adds (40, 2);
begin;
declare named cursor for select n from generate_series(1, 10) n;
fetch 3 from named;
move 4 in named;
fetch all from named;
commit;
truncate app_item;
insert into app_item select n, 'word ' || n from generate_series(0, 99) n;
\copy app_item from program 'seq -f "%.0f%tcopied" 100 1099 2>/dev/null | sed "s/%t/\t/"'
copy (select * from app_item where id < 5 order by id) to stdout;
begin;
insert into app_item values (1, 'twice');
select 1;
rollback;
\d app_item
select word from app_item where id = 3 \gx
select n, n * n from generate_series(1, 100) n \crosstabview n n
\set FETCH_COUNT 7
select n from generate_series(1, 30) n;
\set FETCH_COUNT 0
do $$ begin raise notice 'noticed'; end $$;
listen news;
notify news;
\echo idle
\! head -n 1 > /dev/null
execute adds (5, 6);
select word from app_item where id = 7;
