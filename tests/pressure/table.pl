# A hash of many strings, looked up in another order, and sorted. usage: table.pl ENTRIES
use strict;
use warnings;
my $entries = shift;
my %table;
$table{"key $_"} = ("$_ " x 16) . ($_ * 40503 % 65536) for 1 .. $entries;
my $sum = 0;
for my $n (1 .. $entries / 10) {
    my $value = $table{"key " . ($n * 7919 % $entries + 1)};
    $sum += length($value) * ($n % 7);
}
my @longest = (sort { length($table{$b}) <=> length($table{$a}) || $a cmp $b }
               map { "key " . $_ * 10 } 1 .. $entries / 10)[0 .. 4];
print "$sum @longest\n";
