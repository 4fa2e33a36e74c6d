# Ordinary tools at ordinary work, for compare.py.
exec 2>&1
set -u
export LC_ALL=C TZ=UTC
umask 022

seq 1 20000 > numbers
mkdir -p tree/a/b/c tree/d
for i in 1 2 3; do cp numbers tree/a/b/file$i; done
ln -s ../a/b/file1 tree/d/link
ln tree/a/b/file2 tree/d/hard
touch -d 2001-02-03 tree/a/b/file3
chmod 750 tree/a/b/file3

tar cf tree.tar tree && tar tf tree.tar | sort
mkdir out && tar xf tree.tar -C out && diff -r tree out/tree && echo same tree
stat -c '%n %a %h %s %Y' out/tree/a/b/file3
cp -a tree copy && diff -r tree copy && echo same copy
mv copy moved && ls -R moved
find moved -type f -newermt 2010-01-01 | sort
find . -name 'file*' | sort | xargs wc -l
rm -r moved out; ls -d moved out numbers tree*

sort -rn numbers | head -3
sort -S 100K -T . -R numbers | sort -n | cmp - numbers && echo sorted
sed -i s/^1/one/ numbers && grep -c one numbers
split -n 3 numbers part. && cat part.?? | cmp - numbers && echo split
gzip -k numbers && gunzip -c numbers.gz | cmp - numbers && echo unzipped
dd if=/dev/zero of=zeros bs=1M count=3 status=none && cksum zeros
truncate -s 5M sparse && du --apparent-size -k sparse | cut -f1
head -c 1000000 /dev/zero | tee one two | wc -c && cmp one two && echo same

cat <<END
here
END
diff <(echo a) <(echo b)
mkfifo pipe && { echo through > pipe & cat pipe; wait; }
exec 5<> numbers; read -r first <&5; echo "$first"; exec 5>&-
(echo one; echo two >&2) > both 2>&1; cat both
echo appended >> both; tail -1 both; (cd tree/a && pwd | sed 's/.*tree/tree/')
while read -r line; do echo "$line" | tr a-z A-Z; done < both
ls /proc/self/fd | wc -l
cat /dev/stdin < both | wc -l
echo out > /dev/stdout
test -e missing || echo missing
cat missing
cd missing
rmdir tree
mkdir tree
echo x > tree
readlink -f tree/d/link | sed 's/.*tree/tree/'
( ulimit -n 16; exec 20< numbers )
perl -e 'open F, "+<", "both" or die; seek F, 4, 0; print F "TWO"; close F; print -s "both", "\n"'
cat both
python3 - <<'END'
import glob, os, subprocess, tempfile
with tempfile.TemporaryFile() as f:
    f.write(b"by an unlinked file\n")
    f.seek(0)
    print(subprocess.run(["cat"], stdin=f, capture_output=True).stdout)
print(sorted(glob.glob("tree/**/*", recursive=True)))
with os.fdopen(os.open(".", os.O_TMPFILE | os.O_RDWR)) as f:
    print(os.fstat(f.fileno()).st_nlink)
END
sqlite3 data.db 'create table t(x); begin; insert into t values(1),(2),(3); commit;
  update t set x = x * 2; select sum(x) from t; pragma integrity_check; vacuum;' 
