-- A table of a million rows in memory, sorted by a column that is in no order: in runs that go to a
-- temporary file, which are merged.
create table t (id integer primary key, k integer, v text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000)
insert into t select i, (i * 2654435761) % 1000003, 'value ' || ((i * 40503) % 65536) from n;
select count(*), sum(k), sum(length(v)) from t;
select id, k, v from t order by k, v;
