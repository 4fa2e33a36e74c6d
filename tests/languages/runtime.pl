# Perl: hashes, forks and pipes, sockets, signals, sorting, files, sprintf and regular expressions.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(ualarm);

my $count = shift || 100000;
my %table = map { ("key $_" => $_ * 3) } 1 .. $count;
my $text = join ',', map { $table{$_} } sort keys %table;
print 'table ', scalar(keys %table), ' ', md5_hex($text), "\n";
(my $changed = $text) =~ s/(\d+)3,/<$1>/g;
print 'changed ', md5_hex($changed), "\n";

my @children;
for my $n (1 .. 6) {
    pipe(my $read, my $write) or die;
    my $pid = fork // die;
    if (!$pid) {
        close $read;
        print $write "$n " x 20000;
        close $write;
        POSIX::_exit($n);
    }
    close $write;
    push @children, [$pid, $read];
}
for my $child (@children) {
    my ($pid, $read) = @$child;
    local $/;
    my $said = <$read>;
    waitpid $pid, 0;
    print length($said), ' ', $? >> 8, "\n";
}
print "command ", `echo \$0; exit 4`, $? >> 8, "\n";

my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
if (!fork) {
    for (1 .. 10) {
        my $socket = $server->accept;
        print $socket scalar reverse <$socket>;
    }
    POSIX::_exit(0);
}
for my $n (1 .. 10) {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->sockport) or die;
    print $socket "client $n" x 100, "\n";
    shutdown $socket, 1;
    my @lines = <$socket>;
    print md5_hex(@lines), "\n";
}
wait;

my $alarms = 0;
$SIG{ALRM} = sub { $alarms++ };
ualarm 5000, 5000;
select undef, undef, undef, 1 while $alarms < 5;
ualarm 0;
eval { local $SIG{__DIE__}; die { code => 7 } };
print "alarms, died with $@->{code}\n";
