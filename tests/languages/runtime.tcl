# Tcl: dictionaries, the event loop, channels, sockets, child processes.
proc bytes {n} { string repeat x $n }
for {set i 0} {$i < 50000} {incr i} { dict set table "key $i" [expr {$i * $i}] }
set sum 0
dict for {key value} $table { set sum [expr {($sum + $value) % 1000003}] }
puts "table [dict size $table] $sum"
puts [exec sort -rn << "1\n3\n2\n"]
puts [catch {exec /bin/sh -c "exit 5"} message options][lindex [dict get $options -errorcode] 2]
proc accept {channel address port} {
    fconfigure $channel -blocking 0
    fileevent $channel readable [list answer $channel]
}
proc answer {channel} {
    if {[gets $channel line] >= 0} { puts $channel [string length $line]; close $channel }
}
set server [socket -server accept -myaddr 127.0.0.1 0]
set port [lindex [fconfigure $server -sockname] 2]
proc ask {n} {
    global port answers
    set channel [socket 127.0.0.1 $port]
    fconfigure $channel -blocking 0
    puts $channel [bytes [expr {$n * 1000}]]
    flush $channel
    fileevent $channel readable [list heard $channel $n]
}
proc heard {channel n} {
    global answers
    if {[gets $channel line] >= 0} { set answers($n) $line; set ::done $n; close $channel }
}
for {set n 1} {$n <= 8} {incr n} { ask $n }
while {[array size answers] < 8} { vwait done }
puts [lsort -stride 2 -integer [array get answers]]
after 20 {set fired 1}
vwait fired
puts "timer $fired"
